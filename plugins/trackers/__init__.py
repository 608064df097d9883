"""Plugins that follow a run for another tool; none is on unless it is asked for by `-p`."""
