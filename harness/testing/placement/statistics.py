"""Checks that a statistic works on the device of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from harness.contracts import DensityModel, Statistic
from harness.domain import Domain
from harness.testing.checks import Check, run_checks
from harness.testing.model_subject import ModelUnderTest
from harness.testing.placement.comparison import remark, same_on_both
from harness.testing.statistics import StatisticUnderTest, reference_model


def check_statistic_placement(
    build: Callable[[], Statistic],
    *,
    model: Callable[[Domain], DensityModel] | None = None,
    domain: Domain | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[Check]:
    """Check that a statistic works on a second device, without hardware.

    Arguments:
        build: Returns a new statistic with its options.
        model: As in `check_statistic`.
        domain: As in `check_statistic`.
        expected_failures: As in `check_statistic`.

    Returns:
        One result per check; pass the list to `assert_conforms`.

    Examples:
        >>> from oodbench.testing import check_statistic_placement
        >>> class Brightness:
        ...     per = "example"
        ...
        ...     def features(self, model):
        ...         return ["brightness"]
        ...
        ...     def __call__(self, model, groups):
        ...         return groups.double().flatten(1).mean(1, keepdim=True).numpy()
        >>> fit, values = check_statistic_placement(Brightness)
        >>> print(values.message.partition(" (<")[0])
        numpy() of a tensor on the device
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        found, domain = reference_model(build, domain)
        subject = StatisticUnderTest(build, ModelUnderTest(model or found, domain, domain))
        return run_checks(STATISTIC_PLACEMENT_CHECKS, subject, expected_failures or {})


def fit(subject: StatisticUnderTest) -> None:
    """`fit` works with model and examples on the device."""
    subject.unfitted()

    def compute(device: torch.device) -> dict[str, Any]:
        model = subject.model().to(device)
        subject.fitted(model, subject.fit_examples().to(device))
        return {}

    same_on_both(compute)


def values(subject: StatisticUnderTest) -> str:
    """The values equal the values on the CPU; a fitted statistic is fitted first."""
    return remark(same_on_both(lambda device: {"values": subject.on(device)}))


STATISTIC_PLACEMENT_CHECKS: tuple[Callable[[StatisticUnderTest], str | None], ...] = (fit, values)
