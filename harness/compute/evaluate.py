"""Evaluation of statistics over groups of examples, after a fit where necessary."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.compute.device import in_chunks
from harness.contracts import DensityModel, FittedStatistic, Statistic
from harness.errors import ScoreError
from harness.plan.crossfit import CrossFitSplit
from harness.store.hashing import ids_digest
from harness.suite import Component

MOST = 2
"""Number of fitted statistics kept at a time: one for each half of the fit examples."""


def evaluate(
    statistic: Statistic,
    model: DensityModel,
    examples: Tensor,
    group_size: int,
    batch_size: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> NDArray[np.float64]:
    """Evaluate a statistic over consecutive groups; an incomplete last group is dropped.

    Arguments:
        statistic: The statistic, fitted if necessary.
        model: A model in evaluation mode, on the device; None for a statistic that reads only the
            examples.
        examples: As a model takes them, (N, *shape), in the order in which they were drawn.
        group_size: Number of examples per group, b.
        batch_size: Number of examples per chunk, rounded down to whole groups; affects results by
            rounding only. If memory runs out, chunks are halved, down to one group.
        device: Device of the model.
        advance: Called after each chunk with the number of examples done.

    Returns:
        float64, (N // b, F).

    Raises:
        ScoreError: The statistic returned an array with another shape.
    """
    count = len(examples) // group_size
    groups = examples[: count * group_size].reshape(count, group_size, *examples.shape[1:])

    def values_of(part: Tensor) -> NDArray[np.float64]:
        return np.asarray(statistic(model, part.to(device, copy=True)), dtype=np.float64)

    rows = []
    for done, row in in_chunks(groups, max(1, batch_size // group_size), values_of):
        rows.append(row)
        advance(done * group_size)
    values = np.concatenate(rows)
    expected = (count, len(statistic.features(model)))
    if values.shape != expected:
        raise ScoreError(f"the statistic has shape {values.shape}, not (M, F) = {expected}")
    return values


def fit_to(
    statistic: FittedStatistic, model: DensityModel, examples: Tensor, device: torch.device
) -> None:
    """Fit a statistic to examples as a model takes them, (N, *shape)."""
    statistic.fit(model, examples.to(device))


class Fits:
    """Fitted statistics for one checkpoint; only the latest are kept, as they may be large."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], tuple[FittedStatistic, float]] = {}

    def ready(
        self, component: Component, part: CrossFitSplit, fit: Callable[[FittedStatistic], None]
    ) -> tuple[Statistic, float]:
        """Return the statistic for a part, and the seconds spent on the fit, now or earlier.

        Arguments:
            component: The statistic.
            part: The examples to evaluate, and the examples to fit to.
            fit: Fits a new statistic to the examples `part.fit`; not called if a fit is available.
        """
        if part.fit is None:
            return component.build(), 0.0
        key = component.name, part.fit_dataset, ids_digest(part.fit)
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)  # keep the order of use
        else:
            while len(self._kept) >= MOST:
                del self._kept[next(iter(self._kept))]
            statistic, started = component.build(), time.perf_counter()
            fit(statistic)
            self._kept[key] = statistic, time.perf_counter() - started
        return self._kept[key]
