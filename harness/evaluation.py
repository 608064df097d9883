"""Statistics of a model over groups of examples, in chunks of bounded size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from harness.contracts import DensityModel, Statistic
from harness.errors import ScoreError
from harness.memory import is_out_of_memory

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
        model: In evaluation mode, on the device.
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
    step = max(1, batch_size // group_size)
    start, rows = 0, []
    while start < count:
        part = groups[start : start + step]
        row = _chunk(statistic, model, part, device)
        if row is None:
            step = max(1, len(part) // 2)
            continue
        rows.append(row)
        advance(len(part) * group_size)
        start += len(part)
    values = np.concatenate(rows)
    expected = (count, len(statistic.features(model)))
    if values.shape != expected:
        raise ScoreError(f"the statistic has shape {values.shape}, not (M, F) = {expected}")
    return values


def _chunk(
    statistic: Statistic, model: DensityModel, groups: NDArray[np.uint8], device: torch.device
) -> NDArray[np.float64] | None:
    """The statistic of some groups, float64, (M, F); None if memory has room for fewer only."""
    try:
        chunk = torch.from_numpy(groups.copy()).to(device)
        return np.asarray(statistic(model, chunk), dtype=np.float64)
    except (MemoryError, RuntimeError) as error:
        if len(groups) == 1 or not is_out_of_memory(error):
            raise
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return None
