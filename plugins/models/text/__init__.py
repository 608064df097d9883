"""Models of text: the networks behind the entry `bigram`."""
