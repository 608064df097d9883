"""Saved results: `results/SUITE/results.npz`, read by `bench report` and `bench compare`.

The file has an array for each column, with a value per result, and a head in JSON. Columns are
found by name: a reader ignores those that it does not know. `results.json` beside it tells the
same to people and other programs; `bench` never reads it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from harness.errors import BenchError
from harness.plan.plan import Plan
from harness.results import COLUMNS, Cell, Metrics, Result
from harness.store.hashing import digest
from harness.store.layout import RESULTS
from harness.store.records import Store, replace_file

FILE, FOR_PEOPLE = "results.npz", "results.json"
VERSION = 1
COUNTED = COLUMNS[4:]
SIDES = ("scores_in", "scores_out")
WHOLE = {name for name, kind in get_type_hints(Metrics).items() if kind is int}
"""Metrics that are whole numbers."""

DAMAGE = (
    *(OSError, EOFError, BadZipFile, ValueError, LookupError, TypeError),
    *(AttributeError, OverflowError),
)
"""Errors of reading a file that may hold anything, such as one from an archive."""


def results_folder(plan: Plan, store: Store) -> Path:
    """The folder of a suite's results; those of a selection have one of their own below it."""
    folder = store.root / RESULTS / plan.suite
    only = plan.only.as_arguments()
    return folder / f"only-{digest(only)[:8]}" if only else folder


def save_results(plan: Plan, store: Store, results: Sequence[Result], basis: Any) -> None:
    """Save results and the score of every group.

    Arguments:
        plan: Of the results.
        store: Where they are saved.
        results: All of the plan.
        basis: What they rest on, as JSON can hold it; see `SavedResults.basis`.

    Raises:
        OSError: They cannot be written.
    """
    folder = results_folder(plan, store)
    head = {"suite": plan.suite, "only": plan.only.as_arguments()}
    rows = {**head, "results": [result.to_json() for result in results]}
    replace_file(folder / FILE, _content(results, {"version": VERSION, **head, "basis": basis}))
    replace_file(folder / FOR_PEOPLE, json.dumps(rows, indent=1, allow_nan=False).encode())


class SavedResults:
    """Results as they were saved. What was published for them and what beats them is not.

    Attributes:
        basis: What they rest on: they are those of today only if all of that is what it was.
    """

    def __init__(self, head: dict[str, Any], file: Any) -> None:
        self._file, self._texts = file, head["texts"]
        self.basis: Any = head["basis"]
        columns = map(self._column, COLUMNS)
        self._rows = {Cell._make(cell): row for row, cell in enumerate(zip(*columns, strict=True))}
        numbers = (self._numbers(name) for name in Metrics._fields)
        self._metrics = list(map(Metrics._make, zip(*numbers, strict=True)))
        self._status, self._message = self._column("status"), self._column("message")
        self._facts = [name for name in self._texts if name.startswith("provenance.")]
        self._keys = [name.partition(".")[2] for name in self._facts]
        self._provenance = list(zip(*map(self._column, self._facts), strict=True))
        scores = file["scores"]
        self._sides = [scores[low:high] for low, high in pairwise(file["ends"].tolist())]
        self._places = list(zip(*(file[name].tolist() for name in SIDES), strict=True))
        for status, places in zip(self._status, self._places, strict=True):
            if status == "ok" and not all(0 <= place < len(self._sides) for place in places):
                raise ValueError("scores of a result are not in the file")

    def find(self, cell: Cell) -> Result | None:
        """The result of a cell that has a number; None for any other."""
        row = self._rows.get(cell)
        if row is None or self._status[row] != "ok":
            return None
        in_, out = self._places[row]
        return Result(
            cell,
            "ok",
            metrics=self._metrics[row],
            scores_in=self._sides[in_],
            scores_out=self._sides[out],
            provenance=dict(zip(self._keys, self._provenance[row], strict=True)),
        )

    def results(self) -> list[Result]:
        """All of them, in their order."""
        return [
            self.find(cell) or Result(cell, self._status[row], self._message[row])
            for cell, row in self._rows.items()
        ]

    def _column(self, name: str) -> list[Any]:
        values: list[Any] = self._file[name].tolist()
        texts = self._texts.get(name)
        return values if texts is None else [texts[place] for place in values]

    def _numbers(self, name: str) -> list[Any]:
        """A metric, None where it is not known, as all of one that was saved before it existed."""
        if name not in self._file:
            return [None] * len(self._rows)
        kind = int if name in WHOLE else float
        return [None if x != x else kind(x) for x in self._file[name].tolist()]


def read_results(folder: Path) -> SavedResults:
    """The results that a run saved in a folder.

    Raises:
        BenchError: There are none, they are damaged, or another version saved them.
    """
    path = folder / FILE
    if not path.exists() and (folder / FOR_PEOPLE).exists():
        raise BenchError(
            f"{folder}: version 0 of saved results, without {FILE}; this is version {VERSION}: "
            "bench run SUITE saves them anew from what is stored"
        )
    try:
        # Opened here: numpy leaves a damaged archive open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            head = json.loads(file["head"].tobytes())
            if head["version"] == VERSION:
                return SavedResults(head, file)
    except DAMAGE as error:
        raise BenchError(f"{path}: its results cannot be read: {error}") from error
    raise BenchError(
        f"{path}: version {head['version']} of saved results; this is version {VERSION}: "
        "bench run SUITE saves them anew from what is stored"
    )


def _content(results: Sequence[Result], head: dict[str, Any]) -> bytes:
    """The file."""
    names = {key: None for result in results for key in result.provenance}
    named: dict[str, Iterable[Any]] = {
        **{name: [result.cell.as_row()[name] for result in results] for name in COLUMNS},
        "status": [result.status for result in results],
        "message": [result.message for result in results],
        **{f"provenance.{key}": [x.provenance.get(key) for x in results] for key in names},
    }
    arrays: dict[str, Any] = {
        name: np.array(named.pop(name), np.int64).reshape(len(results)) for name in COUNTED
    }
    texts = {}
    for name, values in named.items():
        arrays[name], texts[name] = _interned(values)
    for place, name in enumerate(Metrics._fields):
        numbers = [result.metrics[place] if result.metrics else None for result in results]
        arrays[name] = np.array(numbers, np.float64)  # None becomes NaN, which no metric is
    arrays |= _scores(results)
    text = json.dumps({**head, "texts": texts}, allow_nan=False).encode()
    buffer = io.BytesIO()
    np.savez(buffer, head=np.frombuffer(text, np.uint8), **arrays)
    return buffer.getvalue()


def _interned(values: Iterable[Any]) -> tuple[NDArray[np.int32], list[Any]]:
    """Each value as its place among the distinct ones, and these."""
    known: dict[Hashable, int] = {}
    distinct: list[Any] = []
    places = []
    for value in values:
        place = known.setdefault(_identity(value), len(distinct))
        if place == len(distinct):
            distinct.append(value)
        places.append(place)
    return np.array(places, np.int32), distinct


def _identity(value: Any) -> Hashable:
    """What equal values share; of what lies deeper the same object: comparing it takes long."""
    if isinstance(value, dict):
        return tuple((name, _shallow(item)) for name, item in value.items())
    return tuple(map(_shallow, value)) if isinstance(value, list) else _shallow(value)


def _shallow(item: Any) -> Hashable:
    return type(item), id(item) if isinstance(item, dict | list) else item


def _scores(results: Sequence[Result]) -> dict[str, NDArray[Any]]:
    """The scores of all sides, each side once, and where those of each result are."""
    known: dict[int, int] = {}
    sides: list[NDArray[np.float64]] = []
    places: dict[str, list[int]] = {name: [] for name in SIDES}
    for result in results:
        for name in SIDES:
            scores = getattr(result, name)
            place = -1 if scores is None else known.setdefault(id(scores), len(sides))
            if place == len(sides):
                sides.append(scores)
            places[name].append(place)
    return {
        "scores": np.concatenate(sides) if sides else np.empty(0),
        "ends": np.cumsum([0, *map(len, sides)]),
        **{name: np.array(values, np.int32) for name, values in places.items()},
    }
