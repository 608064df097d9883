"""Saved epochs: files of a model that was trained elsewhere, found by a pattern."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from harness import hub
from harness.errors import DataError, MissingDataError
from harness.suite.schema import Checkpoints
from harness.suite.weight_files import part_sums, stored_content, weight_files
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
        paths: Files or folders by seed and epoch; of revisions, those on this machine.
        folder: Folder for the revisions; None for files, and for a repository on the hub.
    """

    table: Checkpoints
    unit: Unit
    paths: Mapping[tuple[int, int], Path]
    folder: Path | None = None

    def content(self, seed: int, epoch: int) -> str:
        """Return the content of the weights at an epoch, a digest of the files.

        Raises:
            MissingDataError: The revision is not on this machine.
            DataError: A file cannot be read.
        """
        if (why := self.absence(seed, epoch)) is not None:
            raise MissingDataError(why)
        return stored_content(self.paths[seed, epoch])

    def absence(self, seed: int, epoch: int) -> str | None:
        """Say how to get a revision that is not on this machine; None if it is here."""
        if (seed, epoch) in self.paths or self.table.revisions is None:
            return None
        return (
            f"{self.place(seed, epoch)} is not on this machine: {self.way_to_get(seed, [epoch])}"
        )

    def way_to_get(self, seed: int, epochs: Sequence[int]) -> str:
        """Say how to get revisions: commands of the hub, or the folders that are expected."""
        names = [self._revision(seed, epoch) for epoch in epochs]
        repository = str(self.table.repository)
        if self.folder is not None:
            return f"put {listed(names)} into the folder {self.folder}"
        if len(names) == 1:
            return hub.fetch_command(repository, names[0])
        command = hub.fetch_command(repository, "$revision")
        return f"for revision in {' '.join(names)}; do {command}; done"

    def place(self, seed: int, epoch: int) -> str:
        """Return the place of the weights of an epoch, for messages."""
        if (seed, epoch) in self.paths:
            return str(self.paths[seed, epoch])
        return f"{self._revision(seed, epoch)} of {self.table.repository}"

    def _revision(self, seed: int, epoch: int) -> str:
        """Return the name of a revision; `*` and `?` stay."""
        numbers = {"seed": seed, self.unit: epoch}
        return FIELD.sub(lambda found: str(numbers[found[1]]), str(self.table.revisions))

    def identity(self, content: str) -> dict[str, str]:
        """Return the part of a key that determines the weights of an epoch."""
        table = self.table
        way = {"state": table.state, "strip": table.strip, "add": table.add}
        way["ignore"] = "\n".join(sorted(table.ignore))
        way["rename"] = "\n".join(f"{old}\0{new}" for old, new in sorted(table.rename.items()))
        return {"content": content, "precision": table.precision} | {
            name: value for name, value in way.items() if value
        }

    def copy_message(self, seed: int, epoch: int, copy: int) -> str:
        """Say that two epochs have equal weights."""
        return (
            f"{self.paths[seed, copy]} has the same weights as {self.paths[seed, epoch]}: one may "
            "be a copy by mistake; checkpoints.allow_equal = true accepts both"
        )

    def shared_parts(self, seed: int, epochs: Iterable[int]) -> dict[int, str]:
        """Say which epochs with weights in several files have a file in common with another one.

        Training changes nearly all weights, so both epochs of such a pair are doubtful. Epochs
        with all files in common are copies, found by their weights.

        Returns:
            Messages by epoch.

        Raises:
            DataError: A file cannot be read.
        """
        there = [epoch for epoch in sorted(epochs) if (seed, epoch) in self.paths]
        parts = {epoch: part_sums(self.paths[seed, epoch]) for epoch in there}
        owners: dict[str, list[int]] = {}
        for epoch in there:
            for content in parts[epoch]:
                owners.setdefault(content, []).append(epoch)
        found: dict[int, str] = {}
        for content, sharing in owners.items():
            for one in sharing:
                others = (epoch for epoch in sharing if parts[epoch].keys() != parts[one].keys())
                if (other := next(others, None)) is not None:
                    found[one] = (
                        f"{parts[one][content]} is the same file as {parts[other][content]}: it "
                        "may be a copy by mistake; checkpoints.allow_equal = true accepts both"
                    )
        return found

    @property
    def source(self) -> str:
        """Pattern of the files, or the number of files if the suite names each file."""
        if self.table.revisions is not None:
            return f"{self.table.repository}, revisions {self.table.revisions}"
        return self.table.files or counted(len(self.table.epochs), "file")

    def lacking(self, seeds: tuple[int, ...], epochs: tuple[int, ...]) -> Iterator[str]:
        """Yield a message for each seed with epochs that have no file; revisions may be absent."""
        if self.table.revisions is not None:
            if "{seed}" not in self.table.revisions and any(seeds):
                yield f"{self.source} has no {{seed}}, so the only seed is 0"
            return
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
    if table.repository is not None and table.revisions is not None:
        return _by_revision(table, table.repository, table.revisions, folder)
    paths: dict[tuple[int, int], Path] = {}
    for epoch, name in table.epochs.items():
        _check_fields(name, {"seed"})
        found = list(_matches(name, folder))
        if not found:
            raise DataError(f"epoch {epoch}: no file is named {name}{_nearest(name, folder)}")
        for path, numbers in found:
            _add(paths, numbers.get("seed", 0), epoch, path)
    return _checked(SavedEpochs(table, "epoch", paths))


def _unit(pattern: str) -> Unit:
    """Return what the numbers in a pattern count."""
    fields = _check_fields(pattern, set(FIELDS))
    units = [unit for unit in ("epoch", "step") if unit in fields]
    if len(units) != 1:
        raise DataError(f"{pattern!r} needs one of {{epoch}} and {{step}}; * stands for the other")
    return "epoch" if units == ["epoch"] else "step"


def _by_revision(table: Checkpoints, repository: str, revisions: str, folder: Path) -> SavedEpochs:
    """Find the revisions of a repository in a folder, or else in the cache of the hub."""
    unit, place = _unit(revisions), Path(folder, os.path.expanduser(repository))
    paths: dict[tuple[int, int], Path] = {}
    if place.is_dir():
        for path, numbers in _matches(revisions, place):
            _add(paths, numbers.get("seed", 0), numbers[unit], path)
        return _checked(SavedEpochs(table, unit, paths, place))
    if not hub.REPOSITORY.fullmatch(repository):
        return SavedEpochs(table, unit, paths, place)
    whole = re.compile("/".join(_expression(Path(revisions).parts)))
    for name, path in hub.cached_revisions(repository):
        if (found := whole.fullmatch(name)) is not None:
            numbers = {field: int(text) for field, text in found.groupdict().items()}
            _add(paths, numbers.get("seed", 0), numbers[unit], path)
    return _checked(SavedEpochs(table, unit, paths))


def _by_pattern(table: Checkpoints, pattern: str, folder: Path) -> SavedEpochs:
    unit = _unit(pattern)
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
