"""The plain definition: one backward pass per group. Slow, for any model; the engine's oracle."""

from __future__ import annotations

import torch
from torch import Tensor

from oodbench import DensityModel, ScoreError
from plugins.statistics.layer_gradients.norms import GroupGradient, Measure
from plugins.statistics.layer_gradients.objectives import Objective, log_prob
from plugins.statistics.layer_gradients.vmap import requiring_grad


def _sq_norm(column: int, gradient: GroupGradient) -> Tensor:
    """Squared norm of a gradient of one group, summed in float64; float64, (1,)."""
    assert isinstance(gradient, Tensor)
    return gradient.double().square().sum().unsqueeze(0)


def looped_layer_gradients(
    model: DensityModel,
    groups: Tensor,
    objective: Objective = log_prob,
    measure: Measure = _sq_norm,
) -> Tensor:
    """Squared norms of the gradients of an objective, summed over each group, float64, (M, L).

    Arguments:
        model: Its `.grad` fields and `requires_grad` flags end as they were.
        groups: uint8, (M, b, *domain.shape).
        objective: What is summed and differentiated.
        measure: What is taken of each gradient in place of the squared norm.

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
            for column, gradient in enumerate(gradients):
                if gradient is not None:
                    row[column] = measure(column, gradient.unsqueeze(0))[0]
    return norms
