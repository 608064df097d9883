"""Statistics of a model over groups of examples, in chunks of bounded size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from harness.contracts import DensityModel, Statistic
from harness.errors import ScoreError
from harness.memory import in_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
