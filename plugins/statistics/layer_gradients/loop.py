"""The plain definition: one backward pass per group. Slow, for any model; the engine's oracle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness import DensityModel, ScoreError
from plugins.statistics.layer_gradients.generic import requiring_grad
from plugins.statistics.layer_gradients.objectives import Objective, log_prob


def looped_layer_gradients(
    model: DensityModel, groups: Tensor, objective: Objective = log_prob
) -> Tensor:
    """Squared norms of the gradients of an objective, summed over each group, float64, (M, L).

    Arguments:
        model: Its `.grad` fields and `requires_grad` flags end as they were.
        groups: uint8, (M, b, *domain.shape).
        objective: What is summed and differentiated.

    Raises:
        ScoreError: The objective depends on no parameter at all.
    """
    parameters = [parameter for _, parameter in model.named_parameters()]
    norms = torch.zeros(len(groups), len(parameters), dtype=torch.float64, device=groups.device)
    with torch.enable_grad(), requiring_grad(parameters, True):
        for row, group in zip(norms, groups, strict=True):
            total = objective(model, group).sum()
            if not total.requires_grad:
                name = f"{objective.__name__} of {type(model).__name__}"
                raise ScoreError(f"{name} depends on none of its parameters")
            gradients = torch.autograd.grad(total, parameters, allow_unused=True)
            row.copy_(_sq_norms(gradients, row))
    return norms


def _sq_norms(gradients: Sequence[Tensor | None], like: Tensor) -> Tensor:
    """Sums of squares in the precision of `like`, (L,); 0 for a gradient of none."""
    zero = like.new_zeros(())
    return torch.stack([zero if g is None else g.to(like).square().sum() for g in gradients])
