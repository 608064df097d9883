"""From statistics to results: scorers fitted and asked, metrics, baselines, the score cache."""
