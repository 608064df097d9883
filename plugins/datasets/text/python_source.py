"""Source code of Python's standard library."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from oodbench import MissingDataError
from plugins.datasets.image_files import read_bytes
from plugins.datasets.text.installed import InstalledText

NO_CODE = frozenset({"pydoc_data", "encodings"})
"""Modules with documentation or tables."""
OPTIONAL = frozenset(
    {"distutils", "ensurepip", "idlelib", "lib2to3", "tkinter", "turtle", "turtledemo", "venv"}
)
"""Modules that some distributions leave out."""


@dataclass(kw_only=True, eq=False)
class PythonSource(InstalledText):
    """Windows of source code: the .py files of Python's standard library.

    The data are the files of the modules in `sys.stdlib_module_names` of the running Python,
    without tests, without `pydoc_data` (documentation) and `encodings` (tables), and without
    modules that some distributions leave out, such as `tkinter`: about 500 files with 8 MB in
    Python 3.11. Other versions of Python have other files, so the fingerprint differs. A hash of
    seed and content assigns whole files to the splits; test windows that also occur in train files
    are dropped.

    Arguments:
        length: Length of a window in bytes.
        test_share: Fraction of the files in the test split.
        seed: Seed for the random split.

    References:
        | The Python Standard Library
        | https://docs.python.org/3/library/
    """

    name = "python-source"
    document = "file"

    def _all(self) -> Mapping[str, bytes]:
        folder = Path(sysconfig.get_path("stdlib"))
        found = {
            file.relative_to(folder).as_posix(): read_bytes(file)
            for module in sorted(sys.stdlib_module_names - NO_CODE - OPTIONAL)
            for file in _files(folder, module)
        }
        if not found:
            raise MissingDataError(f"python-source: {folder} has no .py files of modules")
        return found


def _files(folder: Path, module: str) -> Iterator[Path]:
    """Yield the .py files of a module or package, without tests, in order of name."""
    if (file := folder / f"{module}.py").is_file():
        yield file
    for file in sorted((folder / module).rglob("*.py")):
        if not {"test", "tests"}.intersection(file.relative_to(folder).parts):
            yield file
