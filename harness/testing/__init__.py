"""The conformance kit: requirements on every model, scorer, statistic and data set."""
