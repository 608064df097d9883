"""Store layout: names for all folders and files."""

from __future__ import annotations

CHECKPOINTS, ROLLING, STATISTICS, DATASETS = "checkpoints", "rolling", "statistics", "datasets"
CONTENTS = "contents"
KINDS = (CHECKPOINTS, ROLLING, STATISTICS, DATASETS, CONTENTS)
"""Kinds of records; keys of the first two kinds begin with the train key."""

RESULTS, RUNS, FAILURES, LOGS, RATES = "results", "runs", "failures", "logs", "rates"
TEMPORARY, QUARANTINE, LOCKS = "tmp", "quarantine", "locks"
"""Other folders, which do not hold records."""

FOLDERS = (*KINDS, RESULTS, RUNS, FAILURES, LOGS, RATES, TEMPORARY, QUARANTINE, LOCKS)

MANIFEST = "manifest.json"
WEIGHTS, OPTIMIZER, PROGRESS = "model.safetensors", "optimizer.safetensors", "progress.safetensors"
VALUES, DIGESTS = "values.npy", "digests.npy"
"""File names in records: in all, in checkpoints and rolling states, in statistics, in contents."""

LEFT_OUT = "left-out.json"
"""File next to a manifest with the names of files that an import left out."""
