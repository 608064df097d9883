"""Basis of saved results: everything that determines the results.

A report reads saved results back only while the basis is unchanged. The basis consists of the
suite with plugins, plugin versions and options; the data sets; the weights in the checkpoints;
every statistic read for a score; the source files in the harness and in all packages with
plugins; the Python version; and the names and versions of all installed distributions.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import DataError, StoreError
from harness.plan.jobs import ChainId
from harness.plan.plan import Plan
from harness.results import Result
from harness.store.hashing import canonical_json
from harness.store.layout import STATISTICS
from harness.store.records import Store


class Basis:
    """Present basis for the results of a plan.

    Arguments:
        plan: Plan with all available data sets found.
        store: Store with the statistics.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan, self._store = plan, store
        self._code = _code(plan.suite_fingerprint.packages)

    def of(self, results: Sequence[Result]) -> dict[str, Any] | None:
        """Return the basis of results as JSON data; None if a statistic is no longer stored."""
        cells = {result.cell for result in results if result.status == "ok"}
        planned = [planned for planned in self._plan.cells if planned.cell in cells]
        keys = set()
        jobs = {id(job): job for item in planned for job in item.jobs()}  # many cells share one
        for job in jobs.values():
            key = None
            with suppress(DataError, StoreError):
                key = self._plan.keys(self._store).statistic_key(job)
            if key is None:
                return None
            keys.add(key)
        return {
            "code": self._code,
            "suite": self._plan.suite_fingerprint.digest,
            "read": {name: found for name, found in self._read().items() if found is not None},
            "keys": sorted(keys),
        }

    def holds(self, saved: dict[str, Any] | None) -> bool:
        """Check that the basis of saved results is unchanged; a damaged basis never holds."""
        try:
            return saved is not None and self._is_same(saved)
        except (LookupError, TypeError, AttributeError):
            return False

    def _is_same(self, saved: dict[str, Any]) -> bool:
        if saved["code"] != self._code or saved["suite"] != self._plan.suite_fingerprint.digest:
            return False
        if not set(_names(self._store.root / STATISTICS)).issuperset(saved["keys"]):
            return False
        # An item absent when the results were saved cannot have influenced them.
        return all(saved["read"].get(name) in (None, now) for name, now in self._read().items())

    def _read(self) -> dict[str, str | None]:
        """Return data sets and checkpoint weights by name, with None for missing content."""
        found: dict[str, str | None] = dict.fromkeys(self._plan.needed_datasets())
        for name, data in self._plan.prepared.items():
            found[name] = canonical_json([data.fingerprints, data.counts])
        for chain, planned in self._plan.chains.items():
            for epoch in planned.epochs:
                name = f"{chain.model}/{chain.dataset}/{chain.seed}/{epoch}"
                found[name] = self._weights(chain, epoch)
        return found

    def _weights(self, chain: ChainId, epoch: int) -> str | None:
        """Return train key and checksum of the weights for an epoch; None for missing weights."""
        weights = None
        with suppress(StoreError):
            weights = self._plan.keys(self._store).weights_of(chain, epoch)
        return None if weights is None else f"{self._plan.source_key(chain, epoch)} {weights}"


def _code(packages: Iterable[str]) -> str:
    """Return a digest of all code for plans and scores: sources, Python, distributions."""
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
    """Yield the source files of a package or module."""
    with suppress(ImportError, ValueError):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations is not None:
            for folder in spec.submodule_search_locations:
                yield from Path(folder).rglob("*.py")
        elif spec is not None and spec.origin is not None and spec.has_location:
            yield Path(spec.origin)


def _names(folder: Path) -> Iterable[str]:
    """List the names in a folder; empty for a folder that cannot be listed."""
    try:
        return os.listdir(folder)
    except OSError:
        return ()
