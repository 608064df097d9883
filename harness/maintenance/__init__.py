"""Maintenance of a whole store: list, check, clean up, export, import; also `bench doctor`."""
