"""Plugins that report a run to another tool; each must be activated by `-p`."""
