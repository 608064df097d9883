"""Reports in text form: for terminals, Markdown, LaTeX, CSV and JSON."""
