"""Published data sets of text, read from the files that their authors published."""
