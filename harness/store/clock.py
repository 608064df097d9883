"""The clock of the file system with a store, which all machines that share the store agree on."""

from __future__ import annotations

import uuid
from pathlib import Path

from harness.store.layout import TEMPORARY


def now_at(root: Path) -> float:
    """Return the time by the clock of the file system with a store, in seconds since 1970."""
    trial = root / TEMPORARY / uuid.uuid4().hex
    trial.parent.mkdir(parents=True, exist_ok=True)
    try:
        trial.touch()
        return trial.stat().st_mtime
    finally:
        trial.unlink(missing_ok=True)


def is_written_since(root: Path, path: Path, moment: float) -> bool:
    """Check that a file exists and was written since a moment.

    A copy may carry a time from a machine with a wrong clock: a time in the future is no evidence.

    Arguments:
        root: The store.
        path: A file in the store.
        moment: A time from `now_at`.
    """
    try:
        modified = path.stat().st_mtime
    except OSError:
        return False
    return modified >= moment and modified <= now_at(root)
