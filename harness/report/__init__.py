"""What the results say: tables, marks, rankings, early epochs, sentences; and how it is shown."""
