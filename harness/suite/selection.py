"""The part of a suite that is asked for: `--only in=mnist --only epoch=1 --only epoch=10`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from harness.errors import BenchError
from harness.results import COLUMNS, Cell
from harness.text import known_names


@dataclass(frozen=True)
class Selection:
    """Which cells to take. Values of one key are alternatives, keys combine.

    Attributes:
        values: The values taken, as text, by key; a key that is not there takes all.
    """

    values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def selects(self, cell: Cell) -> bool:
        """Whether a cell is asked for."""
        return all(_value(cell, key) in taken for key, taken in self.values.items())

    def as_arguments(self) -> list[str]:
        """The selection as `parse_selection` takes it, in one order however it was given."""
        return [f"{key}={value}" for key in COLUMNS for value in sorted(self.values.get(key, ()))]


def parse_selection(texts: Iterable[str], cells: Collection[Cell]) -> Selection:
    """Read a selection.

    Arguments:
        texts: Each `KEY=VALUE`.
        cells: What there is to select from.

    Raises:
        BenchError: A key or value is unknown; all such mistakes at once.
    """
    values: dict[str, set[str]] = {}
    problems = []
    for text in texts:
        key, _, value = text.partition("=")
        if problem := _problem(key, value, cells):
            problems.append(f"--only {text}: {problem}")
        values.setdefault(key, set()).add(value)
    if problems:
        raise BenchError("\n".join(problems))
    return Selection({key: frozenset(taken) for key, taken in values.items()})


def _problem(key: str, value: str, cells: Collection[Cell]) -> str:
    """What is wrong with one selection; empty if nothing is."""
    if key not in COLUMNS:
        return f"there is no key {key!r} ({known_names(key, COLUMNS)})"
    known = {_value(cell, key) for cell in cells}
    return "" if value in known else f"no cell has this value ({known_names(value, known)})"


def _value(cell: Cell, key: str) -> str:
    return str(cell[COLUMNS.index(key)])
