"""Locks: of several runs on one store, one at a time does a piece of work.

They are locks of the operating system on open files, so that those of a killed process are free
at once, and a file that is left behind means nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.layout import LOCKS

if TYPE_CHECKING:
    from filelock import FileLock


def lock(root: Path, name: str) -> FileLock:
    """The lock of a name under a root, not yet taken."""
    from filelock import FileLock  # takes a twentieth of a second, which reports need not

    path = root / LOCKS / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def try_lock(root: Path, name: str) -> FileLock | None:
    """The lock of a name, taken; None if another holds it."""
    from filelock import Timeout

    taken = lock(root, name)
    try:
        taken.acquire(timeout=0)
    except Timeout:
        return None
    return taken


def is_free(root: Path, name: str) -> bool:
    """Whether nobody holds a lock just now."""
    taken = try_lock(root, name)
    if taken is None:
        return False
    taken.release()
    return True
