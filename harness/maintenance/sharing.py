"""Examination of a folder for sharing: what a second process sees of locks and renames.

The second process runs on this machine. A file system that fails here fails everywhere; whether
other machines see the same is known from the type of the file system only.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.store.clock import now_at
from harness.store.locks import LockKind, ask_for_locks, file_system, try_lock

LOOK = """
import sys
from pathlib import Path
from harness.store.locks import try_lock
root = Path(sys.argv[1])
taken = try_lock(root, "trial")
print("free" if taken else "held", (root / "renamed").exists(), (root / "before").exists())
"""
"""Program of the second process."""
SECONDS = 60


@dataclass(frozen=True)
class Sharing:
    """View of a second process into a folder.

    Attributes:
        file_system: Type of the file system; empty if unknown.
        sees_locks: A lock that this process holds is held for the other process too.
        sees_renames: A file is found by its new name, and no more by its old name.
        clock_difference: Time of the file system minus time of this machine, in seconds.
    """

    file_system: str
    sees_locks: bool
    sees_renames: bool
    clock_difference: float


def examine_sharing(folder: Path, kind: LockKind, look: Callable[[Path], str]) -> Sharing:
    """Examine an empty folder, in which files are left behind.

    Arguments:
        folder: The folder, on the file system in question.
        kind: Kind of lock to try.
        look: Looks at the folder from a second process, as `seen_by_another_process` does.

    Raises:
        OSError: The folder cannot be written.
    """
    ask_for_locks(folder, kind)
    lock = try_lock(folder, "trial")
    (folder / "before").write_bytes(b"trial")
    (folder / "before").rename(folder / "renamed")
    try:
        seen = look(folder).split()
    finally:
        if lock is not None:
            lock.release()
    difference = now_at(folder) - time.time()
    has_lock = lock is not None and seen[:1] == ["held"]
    return Sharing(file_system(folder), has_lock, seen[1:] == ["True", "False"], difference)


def seen_by_another_process(folder: Path) -> str:
    """Return what `LOOK` prints: whether the lock is free or held, and which names exist."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOOK, str(folder)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout
