"""From statistics to results: fitting and scoring, metrics, baselines, previews."""
