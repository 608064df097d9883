"""Objectives to differentiate: a number per example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor

# Maps a model and examples, uint8, (N, *shape), to floating, (N,); examples do not interact.
Objective: TypeAlias = Callable[[Any, Tensor], Tensor]


def log_prob(model: Any, x: Tensor) -> Tensor:
    """Evaluate `model.log_prob(x)`, floating, (N,), in nats."""
    return model.log_prob(x)


def latent_sum(model: Any, x: Tensor) -> Tensor:
    """Sum `model.latent(x)` over the entries for each example, floating, (N,)."""
    return model.latent(x).flatten(1).sum(1)
