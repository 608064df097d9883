"""Comparison between two runs, and verification of values against their pins."""
