"""Licences of installed packages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from oodbench import MissingDataError
from plugins.datasets.image_files import read_bytes
from plugins.datasets.text.installed import InstalledText

DISTRIBUTION, INFO = "oodbench", ".dist-info/"
LICENCE = re.compile(r"licen[cs]e|copying|notice", re.IGNORECASE)
"""Part of the names of files with a licence."""


@dataclass(kw_only=True, eq=False)
class Licences(InstalledText):
    """Windows of legal English: the licences of the packages that `bench` requires.

    The data are the files named `LICENSE`, `COPYING` or `NOTICE`, with any suffix, in the metadata
    of the installed packages, such as NumPy, PyTorch and the libraries inside these packages.
    Packages of extras do not count. Equal files count once. Other versions of the packages have
    other files, and so another fingerprint. A hash of seed and content assigns whole files to the
    splits; test windows that also occur in train files are dropped.

    Arguments:
        length: Length of a window in bytes.
        test_share: Fraction of the files in the test split.
        seed: Seed for the random split.
    """

    name = "licences"
    document = "file"

    def _all(self) -> Mapping[str, bytes]:
        named = {name: read_bytes(file) for name, file in _licence_files()}
        first = {content: name for name, content in reversed(named.items())}
        found = {name: content for name, content in named.items() if first[content] == name}
        if not found:
            raise MissingDataError("licences: the installed packages bring no licences")
        return found


@cache
def _licence_files() -> tuple[tuple[str, Path], ...]:
    """Return names and paths of the licences of all packages; parsing the lists takes a second."""
    return tuple(
        sorted(
            (f"{name}/{file.as_posix().partition(INFO)[2]}", Path(str(file.locate())))
            for name, package in _required().items()
            for file in package.files or ()
            if INFO in file.as_posix() and LICENCE.search(file.name)
        )
    )


def _required() -> Mapping[str, Distribution]:
    """Return the installed packages that `bench` always requires, by name: no extras."""
    try:
        requirements = distribution(DISTRIBUTION).requires or []
        names = [re.split(r"[^\w.-]", one)[0] for one in requirements if ";" not in one]
        return {name: distribution(name) for name in names}
    except PackageNotFoundError as error:
        raise MissingDataError(f"licences: {error} is not installed as a package") from error
