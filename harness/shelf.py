"""The file in which scores are kept: columns of numbers, each side of scores once.

A cell is known by its number among all cells of the suite.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from harness.keys import canonical_json
from harness.results import Result

Floats = NDArray[np.float64]

NUMBERS = (
    *("auroc", "auroc_se", "auroc_low", "auroc_high", "aupr", "fpr95"),
    *("bits_per_dim_in", "bits_per_dim_out", "ovl"),
)
"""None is kept as NaN, which none of them is in a result that is ok."""


class Found(NamedTuple):
    """What is kept of a result.

    Attributes:
        numbers: Those of `NUMBERS`, in their order.
        scores_in: float64, (n_in,); `scores_out` float64, (n_out,).
        statistics: Of its provenance; `fit` and `notes` too, notes of the plan left out.
    """

    numbers: list[Any]
    scores_in: Floats
    scores_out: Floats
    statistics: dict[str, Any]
    fit: dict[str, Any]
    notes: list[str]


class Shelf:
    """Results to be written."""

    def __init__(self) -> None:
        self.cells: list[int] = []
        self.numbers: list[list[float]] = []
        self.places: list[tuple[int, ...]] = []
        self.sides: list[Floats] = []
        self.texts: dict[str, list[Any]] = {"statistics": [], "fit": [], "notes": []}
        self.bytes = 0
        self._seen: dict[Any, int] = {}

    def add(self, number: int, result: Result, notes: Sequence[str]) -> None:
        """Add a result that is ok, and what was noted when it was scored."""
        numbers = [getattr(result, name) for name in NUMBERS]
        statistics, fit = result.provenance["statistics"], result.provenance["fit"]
        made_by = tuple((name, id(origin)) for name, origin in statistics.items())
        self.cells.append(number)
        self.numbers.append([np.nan if number is None else number for number in numbers])
        self.places.append(
            (
                self._side(result.scores_in),
                self._side(result.scores_out),
                self._text("statistics", made_by, statistics),
                self._text("fit", canonical_json(fit), fit),
                self._text("notes", tuple(notes), list(notes)),
            )
        )

    def content(self, head: Mapping[str, Any]) -> bytes:
        """The file; `head` says what the scores rest on."""
        text = json.dumps({**head, **self.texts}).encode()
        buffer = io.BytesIO()
        np.savez(
            buffer,
            head=np.frombuffer(text, np.uint8),
            cells=np.array(self.cells, np.int64),
            numbers=np.array(self.numbers, np.float64),
            places=np.array(self.places, np.int32),
            ends=np.cumsum([0, *map(len, self.sides)]),
            scores=np.concatenate(self.sides) if self.sides else np.empty(0),
        )
        return buffer.getvalue()

    def _side(self, scores: Floats | None) -> int:
        assert scores is not None, "a result that is ok has scores"
        place = self._seen.setdefault(id(scores), len(self.sides))
        if place == len(self.sides):
            self.sides.append(scores)
            self.bytes += scores.nbytes
        return place

    def _text(self, kind: str, key: Any, value: Any) -> int:
        known = self.texts[kind]
        place = self._seen.setdefault((kind, key), len(known))
        if place == len(known):
            known.append(value)
        return place


class ReadShelf:
    """Results as they were written."""

    def __init__(self, head: dict[str, Any], file: Any) -> None:
        self.texts = head
        numbers = file["numbers"]
        self.numbers = numbers.tolist()
        for row in np.flatnonzero(np.isnan(numbers).any(axis=1)):
            self.numbers[row] = [None if np.isnan(x) else x for x in self.numbers[row]]
        self.places = file["places"].tolist()
        scores = file["scores"]
        self.sides = [scores[low:high] for low, high in pairwise(file["ends"].tolist())]
        cells = file["cells"].tolist()
        self.rows = dict(zip(cells, range(len(cells)), strict=True))

    def find(self, number: int) -> Found | None:
        """What is kept of a cell."""
        row = self.rows.get(number)
        if row is None:
            return None
        scores_in, scores_out, statistics, fit, notes = self.places[row]
        return Found(
            self.numbers[row],
            self.sides[scores_in],
            self.sides[scores_out],
            self.texts["statistics"][statistics],
            self.texts["fit"][fit],
            self.texts["notes"][notes],
        )


def read_shelf(path: Path, holds: Callable[[dict[str, Any]], bool]) -> ReadShelf | None:
    """What is kept in a file; None if there is none, it is damaged, or its head does not hold."""
    try:
        with np.load(path, allow_pickle=False) as file:
            head = json.loads(file["head"].tobytes())
            return ReadShelf(head, file) if holds(head) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile):
        return None
