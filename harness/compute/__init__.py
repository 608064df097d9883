"""Training, and the evaluation of statistics on checkpoints."""
