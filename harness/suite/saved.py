"""Saved epochs: files of a model that was trained elsewhere, found by a pattern."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from harness.errors import DataError
from harness.suite.schema import Checkpoints
from harness.suite.weight_files import stored_content, weight_files
from harness.text import counted, known_names, listed

Unit: TypeAlias = Literal["epoch", "step"]
FIELD = re.compile(r"\{([^{}]*)\}")
FIELDS = ("epoch", "step", "seed")


@dataclass(frozen=True)
class SavedEpochs:
    """The files with the weights of a model, one for each seed and epoch.

    Attributes:
        table: Table of the suite, with the way to read the files.
        unit: What the numbers on the epochs axis count.
        paths: Files or folders by seed and epoch.
    """

    table: Checkpoints
    unit: Unit
    paths: Mapping[tuple[int, int], Path]

    def content(self, seed: int, epoch: int) -> str:
        """Return the content of the weights at an epoch, a digest of the files.

        Raises:
            DataError: A file cannot be read.
        """
        return stored_content(self.paths[seed, epoch])

    def identity(self, content: str) -> dict[str, str]:
        """Return the part of a key that determines the weights of an epoch."""
        table = self.table
        way = {"state": table.state, "strip": table.strip, "add": table.add}
        return {"content": content, "precision": table.precision} | {
            name: value for name, value in way.items() if value
        }

    def copy_message(self, seed: int, epoch: int, copy: int) -> str:
        """Say that two epochs have equal weights."""
        return (
            f"{self.paths[seed, copy]} has the same weights as {self.paths[seed, epoch]}: one may "
            "be a copy by mistake; checkpoints.allow_equal = true accepts both"
        )

    @property
    def source(self) -> str:
        """Pattern of the files, or the number of files if the suite names each file."""
        return self.table.files or counted(len(self.table.epochs), "file")

    def lacking(self, seeds: tuple[int, ...], epochs: tuple[int, ...]) -> Iterator[str]:
        """Yield a message for each seed with epochs that have no file."""
        known = sorted({seed for seed, _ in self.paths})
        for seed in seeds:
            if seed not in known:
                yield f"{self.source} has no file for seed {seed} (known: {listed(known)})"
                continue
            lacking = [epoch for epoch in epochs if (seed, epoch) not in self.paths]
            if lacking:
                found = sorted(epoch for other, epoch in self.paths if other == seed)
                at = f" and seed {seed}" if len(known) > 1 else ""
                yield (
                    f"{self.source} has no file for {self.unit} {listed(lacking)}{at} "
                    f"(known: {listed(found)})"
                )


def find_saved_epochs(table: Checkpoints, folder: Path) -> SavedEpochs:
    """Find the files of saved epochs.

    Arguments:
        table: Table of the suite.
        folder: Folder with the suite file, where relative names begin.

    Raises:
        DataError: A pattern has a mistake, no file matches, two files match the same place, or a
            match has no known form.
    """
    if table.files is not None:
        return _by_pattern(table, table.files, folder)
    paths: dict[tuple[int, int], Path] = {}
    for epoch, name in table.epochs.items():
        _check_fields(name, {"seed"})
        found = list(_matches(name, folder))
        if not found:
            raise DataError(f"epoch {epoch}: no file is named {name}{_nearest(name, folder)}")
        for path, numbers in found:
            _add(paths, numbers.get("seed", 0), epoch, path)
    return _checked(SavedEpochs(table, "epoch", paths))


def _by_pattern(table: Checkpoints, pattern: str, folder: Path) -> SavedEpochs:
    fields = _check_fields(pattern, set(FIELDS))
    units = [unit for unit in ("epoch", "step") if unit in fields]
    if len(units) != 1:
        raise DataError(f"{pattern!r} needs one of {{epoch}} and {{step}}; * stands for the other")
    unit: Unit = "epoch" if units == ["epoch"] else "step"
    found = SavedEpochs(table, unit, {})
    paths: dict[tuple[int, int], Path] = {}
    for path, numbers in _matches(pattern, folder):
        _add(paths, numbers.get("seed", 0), numbers[unit], path)
    if not paths:
        raise DataError(f"no file is named {pattern}{_nearest(pattern, folder)}")
    return _checked(replace(found, paths=paths))


def _checked(saved: SavedEpochs) -> SavedEpochs:
    for path in saved.paths.values():
        weight_files(path)
    return saved


def _add(paths: dict[tuple[int, int], Path], seed: int, number: int, path: Path) -> None:
    before = paths.setdefault((seed, number), path)
    if before != path:
        raise DataError(
            f"{before} and {path.name} both match number {number}, seed {seed}: a pattern with "
            "more of the name would tell them apart"
        )


def _check_fields(pattern: str, allowed: set[str]) -> set[str]:
    fields = set(FIELD.findall(pattern))
    for name in sorted(fields - allowed):
        hint = known_names(name, allowed)
        raise DataError(f"{pattern!r}: {{{name}}} has no meaning here ({hint})")
    return fields


def _matches(pattern: str, folder: Path) -> Iterator[tuple[Path, dict[str, int]]]:
    """Yield every path that matches a pattern, with the numbers in its name, in order of name."""
    parts = Path(os.path.expanduser(pattern)).parts
    whole = re.compile("/".join(_expression(parts)))
    start = Path(folder, parts[0]) if Path(parts[0]).is_absolute() else folder
    steps = parts[1:] if start != folder else parts
    for path in _walk(start, steps):
        inside = path.relative_to(start).parts
        found = whole.fullmatch("/".join(inside if start == folder else (parts[0], *inside)))
        if found is not None:
            yield path, {name: int(text) for name, text in found.groupdict().items()}


def _walk(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """Yield the paths below a folder whose names match the parts of a pattern one by one."""
    if not parts:
        yield folder
        return
    part, *rest = parts
    if not re.search(r"[*?{]", part):
        names = [part] if (folder / part).exists() else []
    else:
        (expression,) = _expression((part,))
        try:
            names = [name for name in sorted(os.listdir(folder)) if _fits(expression, name)]
        except OSError:
            names = []
    for name in names:
        yield from _walk(folder / name, tuple(rest))


def _fits(expression: str, name: str) -> bool:
    return re.fullmatch(expression, name) is not None


def _expression(parts: tuple[str, ...]) -> list[str]:
    """Convert the parts of a pattern; a field that comes again must have the same text."""
    known: set[str] = set()

    def field(text: str) -> str:
        name = text[1:-1]
        again = name in known
        known.add(name)
        return rf"(?P={name})" if again else rf"(?P<{name}>[0-9]{{1,18}})"

    def piece(text: str) -> str:
        if FIELD.fullmatch(text):
            return field(text)
        return {"*": r"[^/]*", "?": r"[^/]"}.get(text, re.escape(text))

    pieces = re.compile(r"\{[^{}]*\}|[*?]|[^*?{}]+|[{}]")
    return ["".join(piece(text) for text in pieces.findall(part)) for part in parts]


def _nearest(pattern: str, folder: Path) -> str:
    """Describe the names in the deepest folder on the way that exists."""
    place = Path(folder, os.path.expanduser(pattern)).parent
    while not place.is_dir():
        place = place.parent
    names = sorted(os.listdir(place))
    return f" ({place} has {listed(names)})" if names else f" ({place} is empty)"
