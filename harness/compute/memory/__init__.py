"""Objects in memory: models and images given in Python, adapted to the contracts."""
