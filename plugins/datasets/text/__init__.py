"""Data sets of text: documents, cut into windows of bytes."""
