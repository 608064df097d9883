"""Scores kept from one report to the next, so that a suite of many cells is not scored anew.

They are read back only if all that they rest on is what it was: the suite with its plugins, their
versions and options, the data sets, the weights of the checkpoints, every statistic that was read,
the source files of the harness and of the packages that the plugins come from, Python, and the
names and versions of all distributions installed beside it. What has come since is scored.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, StoreError
from harness.metrics.roc import AurocEstimate
from harness.plan.jobs import ChainId, PlannedCell, StatisticJob
from harness.plan.plan import Plan
from harness.results import Result
from harness.scoring.provenance import provenance_of
from harness.scoring.published import beside
from harness.store.hashing import canonical_json
from harness.store.layout import STATISTICS
from harness.store.records import Store, replace_file

NAME = "scored.npz"
KEPT_FROM = 2000
"""Fewer new cells than this are scored again: that is as quick."""

MOST_BYTES = 1_000_000_000
"""More scores than this are not kept."""


Floats = NDArray[np.float64]

NUMBERS = (
    *("auroc", "auroc_se", "auroc_low", "auroc_high", "aupr", "fpr95"),
    *("bits_per_dim_in", "bits_per_dim_out", "ovl"),
)
"""None is kept as NaN, which none of them is in a result that is ok."""


class ScoreCache:
    """The scores kept of a suite, and how to keep those of today.

    Arguments:
        plan: With its data sets found.
        store: Where they are kept, beside the results of the last run.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan, self.store = plan, store
        self.path = store.root / "results" / plan.suite / NAME
        self._stored = set(_names(store.root / STATISTICS))
        self._keys: dict[int, str | None] = {}
        self._scorers: dict[str, dict[str, Any]] = {}
        self._code = _code(plan.suite_fingerprint.packages)

    @cached_property
    def _file(self) -> ScoreCacheFile | None:
        return read_score_cache(self.path, self._holds)

    def find(self, planned: PlannedCell) -> Result | None:
        """The result of a cell as it was scored; None if it is not kept."""
        found = None if self._file is None else self._file.find(planned.number)
        if found is None:
            return None
        cell, reference = planned.cell, self.plan.reference
        if cell.scorer not in self._scorers:
            self._scorers[cell.scorer] = planned.scorer.provenance()
        auroc, se, low, high, aupr, fpr95, bits_in, bits_out, ovl = found.numbers
        estimate = AurocEstimate(auroc, se, low, high) if reference else None
        scorer = self._scorers[cell.scorer]
        return Result(
            cell,
            "ok",
            auroc=auroc,
            auroc_se=se,
            auroc_low=low,
            auroc_high=high,
            aupr=aupr,
            fpr95=fpr95,
            n_in=len(found.scores_in),
            n_out=len(found.scores_out),
            bits_per_dim_in=bits_in,
            bits_per_dim_out=bits_out,
            ovl=ovl,
            published=None if estimate is None else beside(reference, cell, estimate),
            scores_in=found.scores_in,
            scores_out=found.scores_out,
            provenance=provenance_of(
                self.plan, planned, scorer, found.statistics, found.fit, found.notes
            ),
        )

    def keep(self, results: Sequence[Result]) -> None:
        """Keep these in place of what was kept before.

        Raises:
            OSError: They cannot be written.
        """
        found = {result.cell: result for result in results if result.status == "ok"}
        writer = ScoreCacheWriter()
        for planned in self.plan.cells:
            result = found.get(planned.cell)
            if result is not None and None not in map(self._key, planned.jobs()):
                writer.add(
                    planned.number, result, result.provenance["notes"][len(planned.notes) :]
                )
        if writer.bytes <= MOST_BYTES:
            replace_file(self.path, writer.content(self._head()))

    def _head(self) -> dict[str, Any]:
        """What the scores of today rest on; the statistics are those that were asked for."""
        return {
            "code": self._code,
            "suite": self.plan.suite_fingerprint.digest,
            "read": {name: found for name, found in self._read().items() if found is not None},
            "keys": sorted({key for key in self._keys.values() if key is not None}),
        }

    def _holds(self, head: dict[str, Any]) -> bool:
        """Whether all that kept scores rest on is what it was."""
        same = head["code"] == self._code and head["suite"] == self.plan.suite_fingerprint.digest
        if not same or not self._stored.issuperset(head["keys"]):
            return False
        # what was not there then, no kept score rests on
        return all(head["read"].get(name) in (None, now) for name, now in self._read().items())

    def _read(self) -> dict[str, str | None]:
        """The data sets and the weights of the checkpoints, as far as they are there."""
        found: dict[str, str | None] = dict.fromkeys(self.plan.needed_datasets())
        for name, data in self.plan.prepared.items():
            found[name] = canonical_json([data.fingerprints, data.counts])
        for chain, planned in self.plan.chains.items():
            for epoch in planned.epochs:
                name = f"{chain.model}/{chain.dataset}/{chain.seed}/{epoch}"
                found[name] = self._weights(chain, epoch)
        return found

    def _weights(self, chain: ChainId, epoch: int) -> str | None:
        """By what training, and which; None unless they are there."""
        weights = None
        with suppress(StoreError):
            weights = self.plan.weights_of(self.store, chain, epoch)
        return None if weights is None else f"{self.plan.train_key(chain)} {weights}"

    def _key(self, job: StatisticJob) -> str | None:
        """The key of a stored statistic. A job is one object, however many cells read it."""
        if id(job) not in self._keys:
            key = None
            with suppress(DataError, StoreError):
                key = self.plan.statistic_key(self.store, job)
            self._keys[id(job)] = key if key in self._stored else None
        return self._keys[id(job)]


def _code(packages: Iterable[str]) -> str:
    """Digest of all code that plans and scores: sources, Python, installed distributions."""
    found = hashlib.sha256(sys.version.encode())
    for name in sorted({"harness", *packages}):
        for path in sorted(_sources(name)):
            found.update(f"\0{path}\0".encode())
            found.update(path.read_bytes())
    installed = sorted(
        name
        for folder in set(sys.path)
        for name in _names(Path(folder))
        if name.endswith((".dist-info", ".egg-info"))
    )
    found.update("\0".join(installed).encode())
    return found.hexdigest()


def _sources(package: str) -> Iterator[Path]:
    """The source files of a package or module."""
    with suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations is not None:
            for folder in spec.submodule_search_locations:
                yield from Path(folder).rglob("*.py")
        elif spec is not None and spec.origin is not None and spec.has_location:
            yield Path(spec.origin)


def _names(folder: Path) -> Iterable[str]:
    """The names in a folder; none if it cannot be listed."""
    try:
        return os.listdir(folder)
    except OSError:
        return ()


class CachedScores(NamedTuple):
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


class ScoreCacheWriter:
    """Results to be written."""

    def __init__(self) -> None:
        self.cells: list[int] = []
        self.numbers: list[list[float]] = []
        self.places: list[tuple[int, ...]] = []
        self.sides: list[Floats] = []
        self.as_arguments: dict[str, list[Any]] = {"statistics": [], "fit": [], "notes": []}
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
        text = json.dumps({**head, **self.as_arguments}).encode()
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
        known = self.as_arguments[kind]
        place = self._seen.setdefault((kind, key), len(known))
        if place == len(known):
            known.append(value)
        return place


class ScoreCacheFile:
    """Results as they were written."""

    def __init__(self, head: dict[str, Any], file: Any) -> None:
        self.as_arguments = head
        numbers = file["numbers"]
        self.numbers = numbers.tolist()
        for row in np.flatnonzero(np.isnan(numbers).any(axis=1)):
            self.numbers[row] = [None if np.isnan(x) else x for x in self.numbers[row]]
        self.places = file["places"].tolist()
        scores = file["scores"]
        self.sides = [scores[low:high] for low, high in pairwise(file["ends"].tolist())]
        cells = file["cells"].tolist()
        self.rows = dict(zip(cells, range(len(cells)), strict=True))

    def find(self, number: int) -> CachedScores | None:
        """What is kept of a cell."""
        row = self.rows.get(number)
        if row is None:
            return None
        scores_in, scores_out, statistics, fit, notes = self.places[row]
        return CachedScores(
            self.numbers[row],
            self.sides[scores_in],
            self.sides[scores_out],
            self.as_arguments["statistics"][statistics],
            self.as_arguments["fit"][fit],
            self.as_arguments["notes"][notes],
        )


def read_score_cache(path: Path, holds: Callable[[dict[str, Any]], bool]) -> ScoreCacheFile | None:
    """What is kept in a file; None if there is none, it is damaged, or its head does not hold."""
    try:
        with np.load(path, allow_pickle=False) as file:
            head = json.loads(file["head"].tobytes())
            return ScoreCacheFile(head, file) if holds(head) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile):
        return None
