"""The conformance kit: what every model, scorer, statistic and data set must do."""
