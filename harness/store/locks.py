"""Locks: only one run at a time works on a given training or converts a given data set.

The operating system holds the locks on open files. Locks of a killed process are therefore
released at once, and a lock file left behind has no meaning.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.layout import LOCKS

if TYPE_CHECKING:
    from filelock import FileLock


def lock(root: Path, name: str) -> FileLock:
    """Return a named lock under a root folder, without acquiring the lock."""
    from filelock import FileLock  # here: the import takes 0.05 s, and reports need no lock

    path = root / LOCKS / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def try_lock(root: Path, name: str) -> FileLock | None:
    """Acquire a named lock; return None if another process holds the lock."""
    from filelock import Timeout

    taken = lock(root, name)
    try:
        taken.acquire(timeout=0)
    except Timeout:
        return None
    return taken


def is_free(root: Path, name: str) -> bool:
    """Check that no process holds a named lock at the moment."""
    taken = try_lock(root, name)
    if taken is None:
        return False
    taken.release()
    return True
