"""Selection of cells: `--only in=mnist --only epoch=1 --only epoch=10`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from harness.errors import BenchError
from harness.results import COLUMNS, Cell
from harness.text import known_names


@dataclass(frozen=True)
class Selection:
    """A set of cells. Values for the same key are alternatives; different keys combine.

    Attributes:
        values: The selected values, in text form, by key; a missing key selects all values.
    """

    values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def selects(self, cell: Cell) -> bool:
        """Return True if the cell is selected."""
        return all(_value(cell, key) in taken for key, taken in self.values.items())

    def as_arguments(self) -> list[str]:
        """Convert back to the input of `parse_selection`, in a canonical order."""
        return [f"{key}={value}" for key in COLUMNS for value in sorted(self.values.get(key, ()))]


def parse_selection(texts: Iterable[str], cells: Collection[Cell]) -> Selection:
    """Parse a selection.

    Arguments:
        texts: Each `KEY=VALUE`.
        cells: All available cells.

    Raises:
        BenchError: A key or value is unknown; lists all mistakes.
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
    """Describe the mistake in a selection; empty if valid."""
    if key not in COLUMNS:
        return f"there is no key {key!r} ({known_names(key, COLUMNS)})"
    known = {_value(cell, key) for cell in cells}
    return "" if value in known else f"no cell has this value ({known_names(value, known)})"


def _value(cell: Cell, key: str) -> str:
    return str(cell[COLUMNS.index(key)])
