"""Built-in plugins: models, statistics, scorers, data sets and executors."""
