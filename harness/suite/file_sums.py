"""Checksums of files named by suites; those of large files are kept while the files stay the same.

The cache is `sums` in the user's cache folder, a file for each path. The cache may be deleted at
any time, and nothing fails where the cache cannot be read or written.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

READ_ALWAYS = 2**20
"""Maximum size in bytes of a file that is read every time."""

SETTLED = 60
"""Seconds since the last change after which a checksum is kept: clocks of file systems are coarse,
so a file may change again soon afterwards and keep its times."""


def sha256_of(file: Path) -> str:
    """Return the sha256 of a file, in hexadecimal digits.

    A large file is read only if size, modification time, change time (`st_ctime`), inode or device
    differ from those at the last reading. Programs can set the modification time, but not the
    change time.

    Raises:
        OSError: The path is not a file, or cannot be read; `filename` and `strerror` are set.
    """
    state = file.stat()  # raises with the reason if the path does not exist
    if not file.is_file():  # reading from a pipe or a device may never end
        raise OSError(None, "not a file or folder", str(file))
    if state.st_size <= READ_ALWAYS:
        return _read(file)
    stamp, place = _stamp(state), _place(file)
    if (known := _kept(place, stamp)) is not None:
        return known
    started = time.time()
    found = _read(file)
    is_settled = started - max(state.st_mtime, state.st_ctime) > SETTLED
    if is_settled and stamp == _stamp(file.stat()):
        _keep(place, f"{stamp} {found}")
    return found


def forget(file: Path) -> None:
    """Remove the checksum of a file from the cache, because the content is another."""
    if (place := _place(file)) is not None:
        with suppress(OSError):
            place.unlink(missing_ok=True)


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp(state: os.stat_result) -> str:
    numbers = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_dev)
    return " ".join(map(str, numbers))


def _place(file: Path) -> Path | None:
    """Return the file of the cache for a path; None for a user without a home folder."""
    import platformdirs

    try:
        folder = platformdirs.user_cache_path("oodbench")
    except RuntimeError:
        return None
    name = hashlib.sha256(os.fsencode(os.path.abspath(file))).hexdigest()[:32]
    return folder / "sums" / name if folder.is_absolute() else None


def _kept(place: Path | None, stamp: str) -> str | None:
    """Return the checksum kept for a stamp."""
    with suppress(OSError, ValueError):
        kept, _, found = (place.read_text("ascii") if place else "").rpartition(" ")
        if kept == stamp and len(found) == 64:
            return found
    return None


def _keep(place: Path | None, text: str) -> None:
    if place is None:
        return
    temporary = place.with_name(f".{uuid.uuid4().hex}")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, "ascii")
        temporary.replace(place)
