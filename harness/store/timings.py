"""Rates: measured seconds per example, for the estimates in `bench plan`; never a result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.domain import Domain
from harness.store.hashing import digest
from harness.store.layout import RATES
from harness.store.records import Store, replace_file
from harness.suite import Component, ModelComponent


def training_work(model: ModelComponent, domain: Domain) -> dict[str, Any]:
    """Describe the kind of work done per example when a model is trained."""
    recipe = {"minibatch": model.recipe.minibatch, "precision": model.recipe.precision}
    return {"train": model.identity(), "domain": {**vars(domain)}, "recipe": recipe}


def statistic_work(
    statistic: Component, model: ModelComponent, domain: Domain, group_size: int | None
) -> dict[str, Any]:
    """Describe the kind of work done per example when a model statistic is evaluated."""
    work = training_work(model, domain)
    return {**work, "statistic": statistic.identity(), "group_size": group_size}


def fit_work(statistic: Component, model: ModelComponent, domain: Domain) -> dict[str, Any]:
    """Describe the kind of work done per example when a model statistic is fitted."""
    return {**training_work(model, domain), "fit": statistic.identity()}


def record_rate(store: Store, work: Mapping[str, Any], seconds: float, examples: int) -> None:
    """Store the measured time for work, in seconds per example."""
    content = json.dumps({"seconds_per_example": seconds / max(examples, 1), "work": work})
    replace_file(store.root / RATES / f"{digest(work)}.json", content.encode())


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
