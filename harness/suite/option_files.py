"""Files named by options: part of keys by content, because a file may change under its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import OptionError, Problem
from harness.registry.options import map_paths, parsed_options, placed
from harness.suite.file_sums import sha256_of


def keyed_files(
    target: Callable[..., Any], options: Mapping[str, Any], folder: Path = Path()
) -> dict[str, Any]:
    """Describe the files and folders named by options of type `Path`, by last name and content.

    Arguments:
        target: Class or function with the options as parameters.
        options: Result of `validate_options`.
        folder: Folder for relative paths.

    Returns:
        Every option with a path, also inside of lists and tables, in JSON-like values with `name`
        and `sha256` in place of the path. For a folder, the sha256 covers the relative name and
        the content of every file inside.

    Raises:
        OptionError: A file or folder cannot be read; the error has a problem for each option
            concerned, with the option's name in `key`.
    """
    found: dict[str, Any] = {}
    problems = []
    for name, value in parsed_options(target, options).items():
        try:
            described = {str(path): _described(path, folder) for path in _paths(value)}
        except OSError as error:
            message = f"{error.filename} cannot be read: {error.strerror}"
            problems.append(Problem(message, key=name, hint="numbers depend on the content"))
            continue
        if described:
            found[name] = _replaced(options[name], described)
    if problems:
        raise OptionError(problems)
    return found


def _paths(value: Any) -> list[Path]:
    """List the paths inside of an option's value."""
    found: list[Path] = []

    def note(path: Path) -> Path:
        found.append(path)
        return path

    map_paths(value, note)
    return found


def _replaced(value: Any, described: Mapping[str, Any]) -> Any:
    """Replace every text in a JSON-like value that has a description."""
    if isinstance(value, dict):
        return {name: _replaced(item, described) for name, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, described) for item in value]
    return described.get(value, value) if isinstance(value, str) else value


def _described(path: Path, folder: Path) -> dict[str, str]:
    """Describe a file or folder.

    Raises:
        OSError: The path cannot be read; `filename` and `strerror` are set.
    """
    place = placed(path, folder)
    if not place.is_dir():
        return {"name": path.name, "sha256": sha256_of(place)}
    listing = hashlib.sha256()
    for file in _files(place):
        listing.update(f"{file.relative_to(place).as_posix()}\0{sha256_of(file)}\0".encode())
    return {"name": path.name, "sha256": listing.hexdigest()}


def _files(folder: Path) -> list[Path]:
    """List all files in a folder and all subfolders, in a fixed order."""
    found = []
    for here, subfolders, names in os.walk(folder, onerror=_refuse):
        for link in (Path(here, name) for name in subfolders if Path(here, name).is_symlink()):
            raise OSError(None, "a link to a folder, in a folder named by an option", str(link))
        found += [Path(here, name) for name in names]
    return sorted(found, key=lambda file: file.relative_to(folder).as_posix())


def _refuse(error: OSError) -> None:
    raise error
