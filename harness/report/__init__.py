"""Reports on results: tables, marks, rankings, early stopping and summaries, and their output."""
