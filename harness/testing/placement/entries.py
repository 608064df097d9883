"""Placement checks for registered entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.domain import Domain
from harness.registry.registered import Registered
from harness.registry.registry import Registry
from harness.testing.checks import Check
from harness.testing.entries import builder


def check_registered_placement(
    registry: Registry,
    registered: Registered,
    options: Mapping[str, Any],
    domain: Domain | None = None,
    unit_domain: Domain | None = None,
) -> list[Check]:
    """Run the placement checks for the kind of a registered entry.

    Arguments and errors are those of `check_registered`; nothing is summed over `unit_domain`.
    """
    build = builder(registry, registered, options)
    if registered.kind == "models":
        from harness.testing.placement.models import check_model_placement

        return check_model_placement(build, domain=domain)
    if registered.kind == "statistics":
        from harness.testing.placement.statistics import check_statistic_placement

        return check_statistic_placement(build)
    return [Check("placement", "skipped", f"{registered.kind} use NumPy alone, on the CPU")]
