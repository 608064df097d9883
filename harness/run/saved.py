"""Saved results: `results/SUITE/results.npz`, read by `bench report` and `bench compare`.

The file contains one array per column, with one value per result, and a head in JSON. Columns are
found by name; a reader ignores unknown columns. `results.json` in the same folder contains the
results for people and other programs; `bench` never reads `results.json`.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
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
OWNER = ".suite"
"""File with the path to the suite whose results are in a folder, relative to the folder, so that
a copy of suite and store belong together; an archive leaves the file out."""

OTHER = "other-"
"""Beginning of the folder name for another suite with the same file name."""

VERSION = 1
COUNTED = COLUMNS[4:]
ARRAYS = ("scores_in", "scores_out", "refits")
WHOLE = {name for name, kind in get_type_hints(Metrics).items() if kind in (int, int | None)}
"""Names of the metrics with integer values."""

OF_BITS = ("bits_per_dim_in", "bits_per_dim_out", "ovl")
MIDPOINTS = dict(
    zip(("bits_per_dim_midpoint_in", "bits_per_dim_midpoint_out"), OF_BITS, strict=False)
)
"""Metrics of densities in the middle of the bin, with their names in older files, where bits per
dimension and their overlap were of these densities."""

DAMAGE = (
    *(OSError, EOFError, BadZipFile, ValueError, LookupError, TypeError),
    *(AttributeError, OverflowError),
)
"""Errors while reading a file with arbitrary content, for example from an archive."""


def results_folder(plan: Plan, store: Store) -> Path:
    """Return the folder for a plan's results; a changed or selected suite has a subfolder."""
    folder = suite_folder(plan, store)
    only, changes = plan.only.as_arguments(), list(plan.changes)
    if changes:
        return folder / f"set-{digest([changes, only])[:8]}"
    return folder / f"only-{digest(only)[:8]}" if only else folder


def suite_folder(plan: Plan, store: Store) -> Path:
    """Return the folder for the results of a whole suite.

    The folder `results/SUITE` belongs to the first suite that saved results there, as long as the
    file of this suite exists. Another suite with the same file name has a subfolder.
    """
    folder, path = store.root / RESULTS / plan.suite, plan.path.resolve()
    is_taken = results_owner(folder) not in (None, path)
    return folder / f"{OTHER}{digest(str(path))[:8]}" if is_taken else folder


def results_owner(folder: Path) -> Path | None:
    """Return the suite whose results are in a folder; None if unknown, or if its file is gone."""
    with suppress(OSError, ValueError):
        path = folder / (folder / OWNER).read_text(encoding="utf-8")
        if path.is_file():
            return path.resolve()
    return None


def save_results(plan: Plan, store: Store, results: Sequence[Result], basis: Any) -> None:
    """Save results and the score of every group.

    Arguments:
        plan: Plan behind the results.
        store: Store to save in.
        results: Results for all cells in the plan.
        basis: Basis of the results as JSON data; see `SavedResults.basis`.

    Raises:
        OSError: A file cannot be written.
    """
    folder, whole = results_folder(plan, store), suite_folder(plan, store)
    origin = os.path.relpath(plan.path.resolve(), whole.resolve())
    replace_file(whole / OWNER, origin.encode())
    head = {
        "suite": plan.suite,
        "set": list(plan.changes),
        "only": plan.only.as_arguments(),
    }
    replace_file(folder / FILE, _content(results, {"version": VERSION, **head, "basis": basis}))
    replace_file(folder / FOR_PEOPLE, _rows_for_people(head, results).encode())


def _rows_for_people(head: dict[str, Any], results: Sequence[Result]) -> str:
    """Return head and results as JSON, a line for each result; json is slow if it indents."""
    rows = ",\n".join(json.dumps(result.to_json(), allow_nan=False) for result in results)
    begin = json.dumps(head, allow_nan=False).removesuffix("}")
    return f'{begin}, "results": [\n{rows}\n]}}\n'


class SavedResults:
    """Saved results, without published values and without comparisons to baselines.

    Attributes:
        basis: Basis at the time of saving; the results are current only if the present basis is
            the same.
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
        absent = np.full(len(self._rows), -1)  # a file from before refits were saved
        places = (file[name] if name in file else absent for name in ARRAYS)
        self._places = list(zip(*(of_array.tolist() for of_array in places), strict=True))
        known, optional = range(len(self._sides)), range(-1, len(self._sides))
        for status, (in_, out, refits) in zip(self._status, self._places, strict=True):
            if status == "ok" and not (in_ in known and out in known and refits in optional):
                raise ValueError("the file lacks scores for a result")

    def find(self, cell: Cell) -> Result | None:
        """Return the result for a cell with a number; None for any other cell."""
        row = self._rows.get(cell)
        if row is None or self._status[row] != "ok":
            return None
        in_, out, refits = self._places[row]
        return Result(
            cell,
            "ok",
            metrics=self._metrics[row],
            scores_in=self._sides[in_],
            scores_out=self._sides[out],
            refits=None if refits < 0 else self._sides[refits],
            provenance=dict(zip(self._keys, self._provenance[row], strict=True)),
        )

    def results(self) -> list[Result]:
        """Return all results, in the order of the cells in the file."""
        return [
            self.find(cell) or Result(cell, self._status[row], self._message[row])
            for cell, row in self._rows.items()
        ]

    def _column(self, name: str) -> list[Any]:
        values: list[Any] = self._file[name].tolist()
        texts = self._texts.get(name)
        return values if texts is None else [texts[place] for place in values]

    def _numbers(self, name: str) -> list[Any]:
        """Return the values of a metric; None if unknown, for example in an older file."""
        if MIDPOINTS.keys().isdisjoint(self._file):  # a file from before bits had noise
            name = MIDPOINTS.get(name, "" if name in OF_BITS else name)
        if name == "auroc_se_examples" and name not in self._file:
            name = "auroc_se"  # a file from before the error had parts
        if name not in self._file:
            return [None] * len(self._rows)
        kind = int if name in WHOLE else float
        return [None if x != x else kind(x) for x in self._file[name].tolist()]


def read_results(folder: Path) -> SavedResults:
    """Read the results saved in a folder.

    Raises:
        BenchError: Results are missing, damaged, or saved by another version.
    """
    path = folder / FILE
    if not path.exists() and (folder / FOR_PEOPLE).exists():
        raise BenchError(
            f"{folder}: saved results of version 0, without {FILE}; this is version {VERSION}: "
            "bench run SUITE saves the results again from stored statistics"
        )
    try:
        # Opened here, because NumPy does not close a damaged archive.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            head = json.loads(file["head"].tobytes())
            if head["version"] == VERSION:
                return SavedResults(head, file)
    except DAMAGE as error:
        raise BenchError(f"{path}: its results cannot be read: {error}") from error
    raise BenchError(
        f"{path}: saved results of version {head['version']}; this is version {VERSION}: "
        "bench run SUITE saves the results again from stored statistics"
    )


def _content(results: Sequence[Result], head: dict[str, Any]) -> bytes:
    """Encode the complete file, with results and head."""
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
    """Return an index for each value into a list of distinct values, and the list."""
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
    """Return a key shared by equal values.

    Values nested more deeply count as equal only if identical, because a full comparison is slow.
    """
    if isinstance(value, dict):
        return tuple((name, _shallow(item)) for name, item in value.items())
    return tuple(map(_shallow, value)) if isinstance(value, list) else _shallow(value)


def _shallow(item: Any) -> Hashable:
    return type(item), id(item) if isinstance(item, dict | list) else item


def _scores(results: Sequence[Result]) -> dict[str, NDArray[Any]]:
    """Return scores and refits of all results, each array once, with the place for each result."""
    known: dict[int, int] = {}
    sides: list[NDArray[np.float64]] = []
    places: dict[str, list[int]] = {name: [] for name in ARRAYS}
    for result in results:
        for name in ARRAYS:
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
