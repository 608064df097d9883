"""Suite files, read and merged with included files; file and line are known for every value."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
from harness.errors import Problem, SuiteError
from harness.suite.toml.locations import locate
from harness.suite.toml.origins import Key, Origin, Origins
from harness.text import known_names

NAMED_TABLES = ("models", "training", "datasets", "statistics", "scorers", "executors")
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
    """Return the files of the shipped suites by name, such as `studies/every-scorer`."""
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
    """The merged TOML of a suite.

    Attributes:
        origins: File and line of each value; the suite file itself has the empty key.
        plugin_files: Plugin files named by the suite, with the origin of the name.
        is_complete: Whether every file could be read.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: Origins = field(default_factory=Origins)
    plugin_files: dict[Path, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    files: int = 0
    is_complete: bool = True


def read_suite_files(path: Path) -> Merged:
    """Read a suite and the included files.

    Raises:
        SuiteError: A file cannot be read or is not TOML; lists all problems of this kind.
    """
    if not path.stem.strip("."):
        raise SuiteError([Problem("a suite needs a name, as in NAME.toml", file=str(path))])
    merged = Merged()
    _read_into(merged, path, (), (str(path), None))
    if not merged.is_complete:
        raise SuiteError(merged.problems)
    merged.origins[()] = (str(path), 1)
    return merged


def _read_into(merged: Merged, path: Path, chain: tuple[Path, ...], named_at: Origin) -> None:
    """Read a file and the included files into `merged`.

    Arguments:
        merged: Receives values and problems.
        path: The file.
        chain: The files around, each included by the one before.
        named_at: Origin of the name in `include`; without a line for the suite itself.
    """
    resolved = path.resolve()
    merged.files += 1
    try:
        if resolved in chain:
            raise _unusable(path, "the file includes itself")
        if merged.files > MAX_FILES:  # repeated includes could grow without end
            raise _unusable(path, f"a suite includes at most {MAX_FILES} files")
        values, lines = _read_toml(path, () if chain else shipped_by_name())
    except SuiteError as error:
        if merged.files <= MAX_FILES + 1:
            merged.problems += [_named(problem, named_at) for problem in error.problems]
        merged.is_complete = False
        return
    origins = Origins({key: (str(path), line) for key, line in lines.items()})
    _add(merged, values, origins, path.parent, (*chain, resolved))


def merge_values(values: Mapping[str, Any], name: str) -> Merged:
    """Merge a suite that was built in Python with the files that it includes.

    Arguments:
        values: The tables as TOML has them; changed by the call. Names of files are relative to
            the current folder.
        name: Name of the suite, which takes the place of the file in messages.

    Raises:
        SuiteError: An included file cannot be read or is not TOML.
    """
    if not re.fullmatch(r"[^./\\\s][^/\\\x00-\x1f]*", name):
        raise SuiteError([Problem(f"{name!r} cannot be the name of a suite: no file could be so")])
    merged = Merged()
    origins = Origins({key: (name, None) for key in _keys(values)})
    _add(merged, dict(values), origins, Path(), (Path(name),))
    if not merged.is_complete:
        raise SuiteError(merged.problems)
    merged.origins[()] = (name, None)
    return merged


def _keys(value: Any, key: Key = ()) -> Iterator[Key]:
    """Yield the key of each value, inside of tables and lists too."""
    if key:
        yield key
    inner = enumerate(value) if isinstance(value, list) else ()
    for part, item in value.items() if isinstance(value, dict) else inner:
        yield from _keys(item, (*key, part))


def _add(
    merged: Merged,
    values: dict[str, Any],
    origins: Origins,
    folder: Path,
    chain: tuple[Path, ...],
) -> None:
    """Add values to `merged`, after the files that they include; names start at a folder."""
    includes = values.pop("include", [])
    if isinstance(includes, list) and all(isinstance(item, str) for item in includes):
        for number, item in enumerate(includes):
            place = origins.origin(("include", number))
            _read_into(merged, folder / item, chain, place)
    else:
        merged.problems.append(origins.problem(("include",), "expected a list of file names"))
    _merge(merged, values, origins, folder)


def _named(problem: Problem, origin: Origin) -> Problem:
    """Locate a problem of a whole file where a suite includes the file."""
    file, line = origin
    if line is None or problem.line is not None:
        return problem
    return Problem(f"{problem.file}: {problem.message}", file, line, "include", problem.hint)


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
        text = read_text(path)
        return tomllib.loads(text), locate(text)
    except FileNotFoundError:
        known = [*(item.name for item in path.parent.glob("*.toml")), *names]
        message = f"no such file in {path.absolute().parent}"
        raise _unusable(path, message, hint=known_names(path.name, known)) from None
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        message, _, place = str(error).partition(" in line ")
        hint = "save the file as UTF-8"
        raise _unusable(path, message, int(place or 1), hint=hint) from error
    except ValueError as error:  # a TOMLDecodeError, or a number of thousands of digits
        line = re.search(r"at line (\d+)", str(error))
        number = int(line.group(1)) if line else text.count("\n") + 1
        raise _unusable(path, f"not valid TOML: {error}", number) from error
    except RecursionError:
        depths = [line.count("[") + line.count("{") for line in text.split("\n")]
        number = depths.index(max(depths)) + 1
        raise _unusable(path, "nested too deeply", number) from None


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte order mark and Windows line ends.

    Raises:
        OSError: The file cannot be read.
        UnicodeError: The file has another encoding; the message says which, if known.
    """
    content = path.read_bytes()
    start = content[:2]
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or 0 in start:
        raise UnicodeError("UTF-16 text, not UTF-8 text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise UnicodeError(f"not UTF-8 text in line {number}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unusable(path: Path, message: str, line: int | None = None, hint: str = "") -> SuiteError:
    return SuiteError([Problem(message, file=str(path), line=line, hint=hint)])


def _merge(merged: Merged, values: dict[str, Any], origins: Origins, folder: Path) -> None:
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
        for number, item in enumerate(plugins["paths"]):
            if isinstance(item, str):
                named_at = origins["plugins", "paths", number]
                merged.plugin_files.setdefault(folder / item, named_at)
    merged.origins.update(moved)
    merged.values = {**merged.values, **values}


def _shift(key: Key, offset: int) -> Key:
    if key[0] == "comparisons" and len(key) > 1 and isinstance(key[1], int):
        return ("comparisons", key[1] + offset, *key[2:])
    return key
