"""Metrics and tests on scores, in NumPy: `roc`, `paired`, `ranks`, `overlap`."""
