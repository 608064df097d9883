"""Detectors: a scorer from the table put to use, in a folder with all that it needs."""
