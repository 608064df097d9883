"""Files of this distribution, compared with the record of the installation.

Other distributions may contain the generic names `harness` and `plugins`, and overwrite our files.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, PackagePath, distribution, distributions
from pathlib import Path

from oodbench._names import FOLDER

ADVICE = "install oodbench again, in an environment without the other distribution"
SHOWN = 3
"""Maximum number of file names in a message."""


def installed_files() -> list[PackagePath]:
    """Return the recorded files that this process uses; none in a checkout."""
    try:
        ours = distribution("oodbench")
    except PackageNotFoundError:
        return []
    if Path(str(ours.locate_file(""))).resolve() != FOLDER:
        return []
    # Installers may rewrite the scripts, which are outside FOLDER, after recording them.
    return [file for file in ours.files or () if file.hash and file.parts[0] != ".."]


def describe_changes(files: Sequence[PackagePath]) -> str:
    """Name the files that differ from the record, and distributions with files of these names.

    Returns:
        A sentence; empty if each file is as recorded.
    """
    changed = [file.as_posix() for file in files if not _as_recorded(file)]
    if not changed:
        return ""
    owners = {
        f"{other.metadata['Name']} {other.version}"
        for other in distributions()
        if not {file.as_posix() for file in other.files or ()}.isdisjoint(changed)
    }
    ours = distribution("oodbench")
    others = sorted(owners - {f"{ours.metadata['Name']} {ours.version}"})
    more = f" and {len(changed) - SHOWN:,} more" if len(changed) > SHOWN else ""
    cause = f"overwritten by {', '.join(others)}" if others else "changed after the installation"
    return f"in {FOLDER}: {', '.join(changed[:SHOWN])}{more}: {cause}"


def _as_recorded(file: PackagePath) -> bool:
    try:
        found = sha256(file.read_binary()).digest()
    except OSError:
        return False
    recorded = f"{file.hash.mode}={file.hash.value}" if file.hash else ""
    return recorded == f"sha256={urlsafe_b64encode(found).rstrip(b'=').decode()}"
