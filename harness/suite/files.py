"""Suite files, read and merged with included files; file and line are known for every value."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
from harness.errors import Problem, SuiteError
from harness.suite.locations import locate
from harness.text import known_names

Key = tuple[str | int, ...]
NAMED_TABLES = ("models", "training", "datasets", "statistics", "scorers")
PARTS = "common/"
"""Folder of files that the shipped suites include; they are not suites."""
MAX_BYTES = 1_000_000
MAX_FILES = 100


def shipped_suites() -> Path:
    """Return the folder of the suites in the distribution."""
    root = Path(harness.__file__).parent.parent
    installed = root / "oodbench" / "suites"
    return installed if installed.is_dir() else root / "suites"


def shipped_by_name() -> dict[str, Path]:
    """Return the files of the shipped suites by name, such as `studies/rivals`."""
    root = shipped_suites()
    names = {
        path.relative_to(root).with_suffix("").as_posix(): path for path in root.rglob("*.toml")
    }
    return {name: names[name] for name in sorted(names) if not name.startswith(PARTS)}


def find_suite(path: Path) -> Path:
    """Return the file of a suite; a path that is not a file may be the name of a shipped suite."""
    return path if path.is_file() else shipped_by_name().get(path.as_posix(), path)


@dataclass
class Merged:
    """The merged TOML of a suite, with file and line for each value."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, tuple[str, int]] = field(default_factory=dict)
    plugin_paths: list[Path] = field(default_factory=list)
    reference: Path | None = None
    problems: list[Problem] = field(default_factory=list)
    files: int = 0

    def problem(self, key: Key, message: str, hint: str = "") -> Problem:
        """Create a problem at a key, located at the nearest known ancestor."""
        name = format_key(key)
        for length in range(len(key), -1, -1):
            if key[:length] in self.origins:
                file, line = self.origins[key[:length]]
                return Problem(message, file=file, line=line, key=name, hint=hint)
        return Problem(message, key=name, hint=hint)


def format_key(key: Key) -> str:
    """Format a key path for people: `comparisons[0].epochs[1]`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + part
    return text


def read_suite_files(path: Path) -> Merged:
    """Read a suite and the included files.

    Raises:
        SuiteError: A file cannot be read or is not TOML; lists all problems of this kind.
    """
    if not path.stem.strip("."):
        raise SuiteError([Problem("a suite needs a name, as in NAME.toml", file=str(path))])
    merged = Merged()
    _read_into(merged, path, ())
    if any(problem.line is None or not problem.key for problem in merged.problems):
        raise SuiteError(merged.problems)
    return merged


def _read_into(merged: Merged, path: Path, chain: tuple[Path, ...]) -> None:
    resolved = path.resolve()
    if resolved in chain:
        merged.problems.append(Problem("the file includes itself", file=str(path)))
        return
    merged.files += 1
    if merged.files > MAX_FILES:  # repeated includes could grow without end
        if merged.files == MAX_FILES + 1:
            message = f"a suite includes at most {MAX_FILES} files"
            merged.problems.append(Problem(message, file=str(path)))
        return
    try:
        values, lines = _read_toml(path, () if chain else shipped_by_name())
    except SuiteError as error:
        merged.problems += error.problems
        return
    origins = {key: (str(path), line) for key, line in lines.items()}
    includes = values.pop("include", [])
    if isinstance(includes, list) and all(isinstance(item, str) for item in includes):
        for item in includes:
            _read_into(merged, path.parent / item, (*chain, resolved))
    else:
        problem = Problem("expected a list of file names", *origins[("include",)], "include")
        merged.problems.append(problem)
    _merge(merged, values, origins, path)


def _read_toml(path: Path, names: Iterable[str]) -> tuple[dict[str, Any], dict[Key, int]]:
    """Read the values in a file, and the line for each value.

    Arguments:
        path: The file.
        names: Names that are known besides the files next to the path.

    Raises:
        SuiteError: The file cannot be read or is not TOML.
    """
    text = ""
    try:
        if path.exists() and not path.is_file():
            raise _unusable(path, "not a file")
        if path.stat().st_size > MAX_BYTES:
            raise _unusable(path, f"a suite has at most {MAX_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text), locate(text)
    except FileNotFoundError:
        known = [*(item.name for item in path.parent.glob("*.toml")), *names]
        raise _unusable(path, "no such file", hint=known_names(path.name, known)) from None
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unusable(path, "not UTF-8 text") from error
    except ValueError as error:  # a TOMLDecodeError, or a number of thousands of digits
        line = re.search(r"at line (\d+)", str(error))
        number = int(line.group(1)) if line else text.count("\n") + 1
        raise _unusable(path, f"not valid TOML: {error}", number) from error
    except RecursionError:
        raise _unusable(path, "nested too deeply") from None


def _unusable(path: Path, message: str, line: int | None = None, hint: str = "") -> SuiteError:
    return SuiteError([Problem(message, file=str(path), line=line, hint=hint)])


def _merge(
    merged: Merged, values: dict[str, Any], origins: dict[Key, tuple[str, int]], path: Path
) -> None:
    """Append the tables in a file to earlier tables; a repeated name is a mistake."""
    offset = len(merged.values.get("comparisons", []))
    moved = {_shift(key, offset): where for key, where in origins.items()}
    for table in NAMED_TABLES:
        if isinstance(values.get(table), dict) and isinstance(merged.values.get(table), dict):
            for name in sorted(set(values[table]) & set(merged.values[table])):
                first, line = merged.origins[(table, name)]
                second = moved[(table, name)]
                merged.problems.append(
                    Problem(f"defined before, at {first}:{line}", *second, f"{table}.{name}")
                )
            values[table] = {**values[table], **merged.values[table]}
    comparisons = values.get("comparisons")
    if isinstance(comparisons, list):
        values["comparisons"] = [*merged.values.get("comparisons", []), *comparisons]
    plugins = values.get("plugins")
    if isinstance(plugins, dict) and isinstance(plugins.get("paths"), list):
        paths = [item for item in plugins["paths"] if isinstance(item, str)]
        merged.plugin_paths += [path.parent / item for item in paths]
    if isinstance(values.get("reference"), str):
        merged.reference = path.parent / values["reference"]
    merged.origins = {**merged.origins, **moved}
    merged.values = {**merged.values, **values}


def _shift(key: Key, offset: int) -> Key:
    if key[0] == "comparisons" and len(key) > 1 and isinstance(key[1], int):
        return ("comparisons", key[1] + offset, *key[2:])
    return key
