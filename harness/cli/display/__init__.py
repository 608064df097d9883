"""Progress of a run, as a live view, plain lines or JSON."""
