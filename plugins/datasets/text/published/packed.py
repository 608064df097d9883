"""Documents in a folder or in a compressed archive, a file each, read without unpacking."""

from __future__ import annotations

import gzip
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from oodbench import DataError
from plugins.datasets._common import CHUNK, MOST_BYTES, data_errors
from plugins.datasets.image_files import read_bytes, visible_names

MOST_DOCUMENT = 2**26
"""Maximum size of a document in an archive, in bytes; checked before reading."""


def read_documents(path: Path, top: str, names: str = ".*") -> dict[str, bytes]:
    """Read the documents below a folder, which is on disk or the top of a `.tar.gz` archive.

    Nothing is written, so a name in an archive cannot reach another folder. Links, devices and
    hidden files are passed over.

    Arguments:
        path: The folder itself, or the archive.
        top: Name of the folder in the archive.
        names: Regular expression for the names of documents, relative to the folder.

    Returns:
        Content by name relative to the folder, in order of name.

    Raises:
        DataError: The archive is damaged, a document is too large or appears twice, or there are
            no documents.
    """
    if path.is_dir():
        inside = (name for name in visible_names(path) if re.fullmatch(names, name))
        found = {name: read_bytes(path / name) for name in inside}
    else:
        found = {}
        with data_errors(f"{path}: cannot be read as a .tar.gz archive"):
            for name, content in _members(path, top, names):
                if name in found:
                    raise DataError(f"{path}: {name} appears twice")
                found[name] = content
    if not found:
        raise DataError(f"{path}: no documents in {top}")
    return dict(sorted(found.items()))


def _members(path: Path, top: str, names: str) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the regular files below a folder of an archive."""
    total = 0
    with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            place = PurePosixPath(member.name)
            if not member.isreg() or not place.is_relative_to(top):
                continue
            name = place.relative_to(top)
            is_hidden = any(part.startswith(".") for part in name.parts)
            if is_hidden or not re.fullmatch(names, name.as_posix()):
                continue
            total += member.size
            if member.size > MOST_DOCUMENT or total > MOST_BYTES:
                raise DataError(f"{path}: {member.name} has {member.size:,} bytes, too many")
            content = archive.extractfile(member)
            yield name.as_posix(), content.read() if content else b""
        while stream.read(CHUNK):  # to the end, because a cut archive is noticed only there
            pass
