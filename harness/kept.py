"""Scores kept from one report to the next, so that a suite of many cells is not scored anew.

They are read back only if all that they rest on is what it was: the suite with its plugins, their
versions and options, the data sets, the weights of the checkpoints, every statistic that was read,
the source files of the harness and of the packages that the plugins come from, Python, and the
names and versions of all distributions installed beside it. What has come since is scored.
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
from harness.plan import STATISTICS, ChainId, Plan, PlannedCell, StatisticJob
from harness.provenance import provenance_of
from harness.published import beside
from harness.results import Result
from harness.shelf import ReadShelf, Shelf, read_shelf
from harness.store import Store, replace_file

NAME = "scored.npz"
KEPT_FROM = 2000
"""Fewer new cells than this are scored again: that is as quick."""

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
        self._scorers: dict[str, dict[str, Any]] = {}
        self._code = _code(plan.asked.packages)

    @cached_property
    def _shelf(self) -> ReadShelf | None:
        return read_shelf(self.path, self._holds)

    def find(self, planned: PlannedCell) -> Result | None:
        """The result of a cell as it was scored; None if it is not kept."""
        found = None if self._shelf is None else self._shelf.find(planned.number)
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
        shelf = Shelf()
        for planned in self.plan.cells:
            result = found.get(planned.cell)
            if result is not None and None not in map(self._key, planned.jobs()):
                shelf.add(planned.number, result, result.provenance["notes"][len(planned.notes) :])
        if shelf.bytes <= MOST_BYTES:
            replace_file(self.path, shelf.content(self._head()))

    def _head(self) -> dict[str, Any]:
        """What the scores of today rest on; the statistics are those that were asked for."""
        return {
            "code": self._code,
            "suite": self.plan.asked.digest,
            "read": {name: found for name, found in self._read().items() if found is not None},
            "keys": sorted({key for key in self._keys.values() if key is not None}),
        }

    def _holds(self, head: dict[str, Any]) -> bool:
        """Whether all that kept scores rest on is what it was."""
        same = head["code"] == self._code and head["suite"] == self.plan.asked.digest
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
