"""Conformance checks for registered entries, built the same way suites build plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any

from harness.contracts import Dataset, Per
from harness.domain import Domain
from harness.registry.options import (
    check_domain,
    constructor_arguments,
    dataset_options,
    scorer_options,
    validate_options,
)
from harness.registry.registered import Kind, Registered
from harness.registry.registry import Registry
from harness.testing.checks import Check
from harness.testing.fake_statistics import FakeStatistic, base_name

CHECKED_KINDS: tuple[Kind, ...] = ("models", "datasets", "statistics", "scorers")


def check_registered(
    registry: Registry,
    registered: Registered,
    options: Mapping[str, Any],
    domain: Domain | None = None,
    unit_domain: Domain | None = None,
) -> list[Check]:
    """Run the conformance checks for the kind of a registered entry.

    Arguments:
        registry: Used to look up data sets, scorers and statistics named by the entry.
        registered: A model, data set, statistic or scorer.
        options: Options in the form used in a suite.
        domain: Domain to build a model for; None for one that the model takes.
        unit_domain: Domain small enough to sum over; None for one that the model takes.

    Raises:
        PluginError: The entry cannot be imported, or names an unknown data set or scorer.
        OptionError: The options do not fit the entry.
    """
    build = builder(registry, registered, options)
    if registered.kind == "models":
        from harness.testing.models import check_model

        return check_model(build, domain=domain, unit_domain=unit_domain)
    if registered.kind == "statistics":
        from harness.testing.statistics import check_statistic

        return check_statistic(build)
    if registered.kind == "scorers":
        from harness.testing.scorers import check_scorer

        return check_scorer(build, statistics=_layouts(registry, build), registry=registry)
    from harness.testing.datasets import check_dataset

    return check_dataset(build)


def builder(
    registry: Registry, registered: Registered, options: Mapping[str, Any]
) -> Callable[..., Any]:
    """Return a function that builds the object anew; for models, the domain is an argument.

    Raises:
        PluginError: The entry cannot be imported, or names an unknown data set or scorer.
        OptionError: The options do not fit the entry.
    """
    target = registered.load()
    checked = validate_options(target, options)
    sources: dict[str, Dataset] = {}
    for option in dataset_options(target):
        source = registry.get("datasets", checked[option])
        sources[checked[option]] = builder(registry, source, {})()
    names = {name for members in scorer_options(target, checked).values() for name in members}
    scorers = {name: builder(registry, registry.get("scorers", name), {}) for name in names}

    def build(*domain: Domain) -> Any:
        for one in domain:
            check_domain(target, one)
        return target(*domain, **constructor_arguments(target, checked, sources, scorers))

    return update_wrapper(build, target, assigned=(), updated=())


def _layouts(registry: Registry, build: Callable[..., Any]) -> dict[str, tuple[Per, int]]:
    """Return layouts for a scorer's registered inputs that declare no made-up values."""
    try:
        names = {base_name(name) for name in build().inputs}
    except Exception:
        return {}  # the checks report the error
    return {
        name: _layout(registry, name)
        for name in names & set(registry.names("statistics"))
        if FakeStatistic.declared(registry, name) is None
    }


def _layout(registry: Registry, name: str) -> tuple[Per, int]:
    from harness.testing.statistics import reference_model

    build = builder(registry, registry.get("statistics", name), {})
    model, domain = reference_model(build)
    statistic = build()
    return statistic.per, len(statistic.features(model(domain)))
