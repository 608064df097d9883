"""Reports as text: for terminals, Markdown, LaTeX, CSV and JSON."""
