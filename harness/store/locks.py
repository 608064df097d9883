"""Locks: only one worker at a time does a piece of work or converts a given data set.

There are two kinds. With *os* locks the operating system holds a lock on an open file: the lock
of a killed process is free at once, and a lock file left behind has no meaning. Between machines
this needs a file system that passes locks on; many network file systems do not. A *lease* is a
file that its holder touches every few seconds. The lease of a dead holder is free at once on the
same machine, and on other machines after the file has been untouched for `LEASE_SECONDS` by their
own clocks. A lease may be lost while its holder pauses. Both kinds only save double work: records
are published by a rename, so two holders at a time do no harm.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.store.layout import LOCKS

if TYPE_CHECKING:
    from filelock import BaseFileLock

LockKind: TypeAlias = Literal["os", "lease"]
LEASE_SECONDS = 30.0
"""Time without a sign of life after which a lease is free; all that share a store must agree."""
KIND = "kind"
"""File in the folder of locks with the kind of lock, where one was asked for."""
MOUNTS = Path("/proc/self/mounts")
NETWORK = {
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "gpfs",
    "lustre",
    "nfs",
    "nfs4",
    "panfs",
    "pvfs2",
}
NETWORK |= {"smb3", "smbfs", "virtiofs", "wekafs"}
"""Types of file systems whose os locks may not reach other machines; so may any `fuse.*`."""


def lock(root: Path, name: str) -> BaseFileLock:
    """Return a named lock under a root folder, without acquiring the lock."""
    folder = root / LOCKS
    folder.mkdir(parents=True, exist_ok=True)
    if lock_kind(root) == "lease":
        return _lease(folder / f"{name}.lease")
    from filelock import FileLock  # here: the import takes 0.05 s, and reports need no lock

    return FileLock(folder / f"{name}.lock")


@cache
def _lease(path: Path) -> BaseFileLock:
    """Return the lease of this process: it remembers since when another's is untouched."""
    from filelock import SoftFileLease

    return SoftFileLease(path, lease_duration=LEASE_SECONDS)


def checkpoint_lock(key: str) -> str:
    """Return the name of the lock for work on a checkpoint: its key, as a single name."""
    return key.replace("/", "-")


def try_lock(root: Path, name: str) -> BaseFileLock | None:
    """Acquire a named lock; return None if another process holds the lock."""
    from filelock import Timeout

    taken = lock(root, name)
    try:
        taken.acquire(timeout=0)
    except Timeout:
        return None
    return taken


@cache
def lock_kind(root: Path) -> LockKind:
    """Return the kind of lock under a root folder: the one asked for, or else by file system."""
    try:
        asked = (root / LOCKS / KIND).read_text().strip()
    except (OSError, ValueError):
        asked = ""
    if asked in ("os", "lease"):
        return "lease" if asked == "lease" else "os"
    return "lease" if is_on_network(root) else "os"


def ask_for_locks(root: Path, kind: LockKind) -> None:
    """Choose the kind of lock under a root folder, for all that use the folder from now on."""
    path = root / LOCKS / KIND
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{kind}\n")
    lock_kind.cache_clear()


def is_on_network(path: Path) -> bool:
    """Check by its type whether machines may share a file system; unknown types are local."""
    kind = file_system(path)
    return kind in NETWORK or kind.startswith("fuse.")


def file_system(path: Path) -> str:
    """Return the type of the file system with a path, such as `ext4`; empty if unknown."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return ""
    place, found = os.path.realpath(path), ("", "")
    for fields in (line.split() for line in lines):
        # In this file, a space in a path is written as its octal code.
        folder = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1])
        inside = place == folder or place.startswith(folder.rstrip("/") + "/")
        if inside and len(folder) >= len(found[0]):  # the last mount on a folder hides the others
            found = folder, fields[2]
    return found[1]
