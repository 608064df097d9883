"""Data sets from the paper, read from the files published by the authors."""
