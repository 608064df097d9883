"""Stages of a run, from start to end: prepare, compute, score, save, and log."""
