"""Data sets: converted once into a folder, drawn from, listed; cards where images are not."""
