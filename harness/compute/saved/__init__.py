"""Weights that were saved elsewhere: read safely, found in their file, matched with a model."""
