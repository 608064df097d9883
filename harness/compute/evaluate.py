"""Evaluation of statistics over groups of examples, fitted first where they need it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from harness.compute.device import in_chunks
from harness.contracts import DensityModel, FittedStatistic, Statistic
from harness.errors import ScoreError
from harness.plan.crossfit import CrossFitSplit
from harness.store.hashing import ids_digest
from harness.suite import Component

MOST = 2
"""Fitted statistics kept at a time: those of the two halves of the fit examples."""


def evaluate(
    statistic: Statistic,
    model: DensityModel,
    images: NDArray[np.uint8],
    group_size: int,
    batch_size: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> NDArray[np.float64]:
    """A statistic over consecutive groups; a last, smaller group is left out.

    Arguments:
        statistic: Built.
        model: In evaluation mode, on the device; None for a statistic of the examples alone.
        images: uint8, (N, *shape), in the order of the draw.
        group_size: Examples a group, b.
        batch_size: Examples a chunk, rounded down to whole groups; changes rounding only. Where
            memory runs out, chunks are halved, down to one group.
        device: Where the model is.
        advance: Told the number of examples done after each chunk.

    Returns:
        float64, (N // b, F).

    Raises:
        ScoreError: The statistic returned another shape.
    """
    count = len(images) // group_size
    groups = images[: count * group_size].reshape(count, group_size, *images.shape[1:])

    def values_of(part: NDArray[np.uint8]) -> NDArray[np.float64]:
        chunk = torch.from_numpy(part.copy()).to(device)
        return np.asarray(statistic(model, chunk), dtype=np.float64)

    rows = []
    for done, row in in_chunks(groups, max(1, batch_size // group_size), values_of):
        rows.append(row)
        advance(done * group_size)
    values = np.concatenate(rows)
    expected = (count, len(statistic.features(model)))
    if values.shape != expected:
        raise ScoreError(f"the statistic has shape {values.shape}, not (M, F) = {expected}")
    return values


class Fits:
    """The fitted statistics of one checkpoint: the last few, because they may be large."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], tuple[FittedStatistic, float]] = {}

    def ready(
        self, component: Component, part: CrossFitSplit, fit: Callable[[FittedStatistic], None]
    ) -> tuple[Statistic, float]:
        """The statistic for a part, and how many seconds its fit took, now or before.

        Arguments:
            component: The statistic.
            part: What it is to be evaluated on.
            fit: Fits a new one to the examples `part.fit`; called if it is not kept.
        """
        if part.fit is None:
            return component.build(), 0.0
        key = component.name, part.fit_dataset, ids_digest(part.fit)
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)  # the last used comes last
        else:
            while len(self._kept) >= MOST:
                del self._kept[next(iter(self._kept))]
            statistic, started = component.build(), time.perf_counter()
            fit(statistic)
            self._kept[key] = statistic, time.perf_counter() - started
        return self._kept[key]
