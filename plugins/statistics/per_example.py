"""Input check shared by the statistics that are evaluated per example."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def examples_of(name: str, groups: Tensor) -> Tensor:
    """Take the examples, (M, *shape), out of groups with a single example each, (M, 1, *shape).

    Raises:
        ValueError: A group contains several examples; `name` is the statistic in the message.
    """
    size = groups.shape[1]
    if size != 1:
        raise ValueError(f"{name} is per example: expected groups with 1 example, not {size}")
    return groups[:, 0]
