"""Plugins on a second device, which needs no hardware: everything must stay where it was put."""
