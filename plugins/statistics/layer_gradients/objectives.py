"""What is differentiated: one number for each example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor

# Of a model and examples, uint8, (N, *shape), to floating, (N,), each of its own example alone.
Objective: TypeAlias = Callable[[Any, Tensor], Tensor]


def log_prob(model: Any, x: Tensor) -> Tensor:
    """`log_prob(x)` of a density model, floating, (N,), in nats."""
    return model.log_prob(x)


def latent_sum(model: Any, x: Tensor) -> Tensor:
    """The sum of each example's `latent(x)`, floating, (N,)."""
    return model.latent(x).flatten(1).sum(1)
