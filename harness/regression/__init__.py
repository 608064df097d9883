"""Runs compared with each other, and values with their pins."""
