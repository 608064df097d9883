"""Progress of a run: the live view, plain lines or JSON."""
