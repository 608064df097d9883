"""Rates: measured seconds per example, for the estimates in `bench plan`; never a result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.domain import Domain
from harness.store.hashing import digest
from harness.store.layout import RATES
from harness.store.records import Store
from harness.suite import Component, ModelComponent


def training_work(model: ModelComponent, domain: Domain) -> dict[str, Any]:
    """Describe the kind of work done per example when a model is trained."""
    recipe = {"minibatch": model.recipe.minibatch, "precision": model.recipe.precision}
    return {"train": model.identity(), "domain": {**vars(domain)}, "recipe": recipe}


def statistic_work(
    statistic: Component, model: ModelComponent, domain: Domain, group_size: int | None
) -> dict[str, Any]:
    """Describe the kind of work done per example when a model statistic is evaluated."""
    work = _evaluation_work(model, domain)
    return {**work, "statistic": statistic.identity(), "group_size": group_size}


def fit_work(statistic: Component, model: ModelComponent, domain: Domain) -> dict[str, Any]:
    """Describe the kind of work done per example when a model statistic is fitted."""
    return {**_evaluation_work(model, domain), "fit": statistic.identity()}


def _evaluation_work(model: ModelComponent, domain: Domain) -> dict[str, Any]:
    work = training_work(model, domain)
    if model.evaluation_precision == "full":
        return work
    return {**work, "evaluation_precision": model.evaluation_precision}


def record_rate(store: Store, work: Mapping[str, Any], seconds: float, examples: int) -> None:
    """Store the measured time for work, in seconds per example.

    The file is neither synced nor moved into place: a torn one counts as no measurement.
    """
    path = store.root / RATES / f"{digest(work)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"seconds_per_example": seconds / max(examples, 1), "work": work}
    path.write_text(json.dumps(content))


class Rates:
    """Measured times of several jobs, stored together: a file for each kind of work.

    Arguments:
        store: Where the rates are stored.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seconds: dict[str, float] = {}
        self._examples: dict[str, int] = {}
        self._works: dict[str, Mapping[str, Any]] = {}

    def add(self, work: Mapping[str, Any], seconds: float, examples: int) -> None:
        """Add the seconds that a job took for its examples to the sum for its work."""
        key = digest(work)
        self._works[key] = work
        self._seconds[key] = self._seconds.get(key, 0.0) + seconds
        self._examples[key] = self._examples.get(key, 0) + examples

    def record(self) -> None:
        """Store the mean time per example for each kind of work."""
        for key, work in self._works.items():
            record_rate(self._store, work, self._seconds[key], self._examples[key])


def estimate_rate(store: Store, work: Mapping[str, Any], seconds: float, examples: int) -> None:
    """Store the measured time for a trial, unless the work itself has been measured before."""
    if known_rate(store, work) is None:
        record_rate(store, work, seconds, examples)


def known_rate(store: Store, work: Mapping[str, Any]) -> float | None:
    """Return the stored seconds per example for this kind of work; None without a measurement."""
    try:
        content = json.loads((store.root / RATES / f"{digest(work)}.json").read_bytes())
        return float(content["seconds_per_example"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
