"""A worker: takes trainings and statistics of checkpoints, one after another, and stores them."""
