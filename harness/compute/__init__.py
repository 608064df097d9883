"""The room with torch: training, checkpoints, and the evaluation of statistics."""
