"""Layout of a store: every name of a folder or file in it."""

from __future__ import annotations

CHECKPOINTS, ROLLING, STATISTICS, DATASETS = "checkpoints", "rolling", "statistics", "datasets"
KINDS = (CHECKPOINTS, ROLLING, STATISTICS, DATASETS)
"""Kinds of records; those of the first two lie under their train key."""

RESULTS, RUNS, FAILURES, LOGS, RATES = "results", "runs", "failures", "logs", "rates"
TEMPORARY, QUARANTINE, LOCKS = "tmp", "quarantine", "locks"
"""Folders beside those of records."""

MANIFEST = "manifest.json"
WEIGHTS, OPTIMIZER, PROGRESS = "model.safetensors", "optimizer.safetensors", "progress.safetensors"
VALUES = "values.npy"
"""Files of records: of all, of checkpoints and rolling states, of statistics."""

LEFT_OUT = "left-out.json"
"""Beside a manifest: names of files that an import came without."""
