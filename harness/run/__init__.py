"""A run from start to end: prepared, computed, scored, saved, and logged."""
