"""Scores kept from one report to the next, so that a suite of many cells is not scored anew.

A cell is read back only if all that its number rests on is what it was: its statistics by their
keys, its scorer with version and options, the source files of the harness and of the package that
the scorer comes from, Python, and the names and versions of all distributions installed beside it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import DataError, StoreError
from harness.keys import canonical_json
from harness.metrics import AurocEstimate
from harness.plan import STATISTICS, Plan, PlannedCell, StatisticJob
from harness.provenance import provenance_of
from harness.published import beside
from harness.registry import FILE
from harness.results import Result
from harness.shelf import ReadShelf, Shelf, read_shelf
from harness.store import Store, replace_file
from harness.suite import ScorerComponent

NAME = "scored.npz"
KEPT_FROM = 2000
"""Fewer new cells than this are scored again: that is as quick."""

ESTIMATE = ("auroc", "auroc_se", "auroc_low", "auroc_high")

MOST_BYTES = 1_000_000_000
"""More scores than this are not kept."""


class Kept:
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
        self._texts: dict[str, str] = {}
        self._scorers: dict[str, dict[str, Any]] = {}
        self._code = _code({planned.scorer.name: planned.scorer for planned in plan.cells})

    @cached_property
    def _shelf(self) -> ReadShelf | None:
        return read_shelf(self.path, self._code)

    def find(self, planned: PlannedCell) -> Result | None:
        """The result of a cell as it was scored; None if it is not kept."""
        if self._shelf is None or (identity := self._identity(planned)) is None:
            return None
        found = self._shelf.find(identity)
        if found is None:
            return None
        cell, reference = planned.cell, self.plan.reference
        if cell.scorer not in self._scorers:
            self._scorers[cell.scorer] = planned.scorer.provenance()
        numbers = found.numbers
        estimate = AurocEstimate(*(numbers[name] for name in ESTIMATE)) if reference else None
        return Result(
            cell,
            "ok",
            n_in=len(found.scores_in),
            n_out=len(found.scores_out),
            **numbers,
            published=None if estimate is None else beside(reference, cell, estimate),
            scores_in=found.scores_in,
            scores_out=found.scores_out,
            provenance=provenance_of(
                self.plan,
                planned,
                self._scorers[cell.scorer],
                found.statistics,
                found.fit,
                found.notes,
            ),
        )

    def keep(self, results: Sequence[Result]) -> None:
        """Keep these in place of what was kept before.

        Raises:
            OSError: They cannot be written.
        """
        found = {result.cell: result for result in results if result.status == "ok"}
        shelf = Shelf()
        for planned in self.plan.cells:
            result = found.get(planned.cell)
            if result is not None and (identity := self._identity(planned)) is not None:
                shelf.add(identity, result, result.provenance["notes"][len(planned.notes) :])
        if shelf.bytes <= MOST_BYTES:
            replace_file(self.path, shelf.content(self._code))

    def _identity(self, planned: PlannedCell) -> bytes | None:
        """What a result rests on; None while one of its statistics is not stored."""
        cell = planned.cell
        if cell.scorer not in self._texts:
            self._texts[cell.scorer] = _text(planned.scorer)
        keys = [self._key(job) for job in planned.jobs()]
        if None in keys:
            return None
        names = (cell.model, cell.in_dataset, cell.out_dataset, cell.scorer)
        place = f"{cell.epoch} {cell.group_size} {cell.seed} {planned.notes}"
        parts = (*names, place, self._texts[cell.scorer], *planned.reads, *map(str, keys))
        text = "\0".join(parts)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    def _key(self, job: StatisticJob) -> str | None:
        """The key of a stored statistic. A job is one object, however many cells read it."""
        if id(job) not in self._keys:
            key = None
            with suppress(DataError, StoreError):
                key = self.plan.statistic_key(self.store, job)
            self._keys[id(job)] = key if key in self._stored else None
        return self._keys[id(job)]


def _text(scorer: ScorerComponent) -> str:
    return canonical_json([scorer.identity(), scorer.provenance()])


def _code(scorers: dict[str, ScorerComponent]) -> str:
    """Digest of all code that scores: sources, Python, installed distributions."""
    packages = {"harness"}
    for scorer in scorers.values():
        for one in (scorer, *scorer.all_members()):
            registered = one.registered
            if registered.source.distribution != FILE:  # whose version is its digest
                target = registered.entry.target.partition(":")[0]
                packages.add((target or registered.module).partition(".")[0])
    found = hashlib.sha256(sys.version.encode())
    for name in sorted(packages):
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
