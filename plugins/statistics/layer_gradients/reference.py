"""Plain definition: a backward pass per group. Slow, works for any model; the engine's oracle."""

from __future__ import annotations

import torch
from torch import Tensor

from oodbench import DensityModel, UnsupportedError
from plugins.statistics.layer_gradients.norms import GroupGradient, Measure
from plugins.statistics.layer_gradients.objectives import Objective, log_prob
from plugins.statistics.layer_gradients.vmap import requiring_grad


def _sq_norm(column: int, gradient: GroupGradient) -> Tensor:
    """Compute the squared norm for a single group's gradient, in float64; float64, (1,)."""
    assert isinstance(gradient, Tensor)
    return gradient.double().square().sum().unsqueeze(0)


def looped_layer_gradients(
    model: DensityModel,
    groups: Tensor,
    objective: Objective = log_prob,
    measure: Measure = _sq_norm,
) -> Tensor:
    """Compute squared layer gradient norms in a loop over groups, float64, (M, L).

    A group in which an objective is not finite has NaN in every column.

    Arguments:
        model: Left unchanged, including `.grad` fields and `requires_grad` flags.
        groups: uint8, (M, b, *domain.shape).
        objective: Function to sum over each group and to differentiate.
        measure: Function applied to each gradient; the squared norm by default.

    Raises:
        UnsupportedError: The objective does not depend on any parameter, or a parameter is not
            floating.
    """
    _require_floating(model)
    parameters = [parameter for _, parameter in model.named_parameters()]
    norms = torch.zeros(len(groups), len(parameters), dtype=torch.float64, device=groups.device)
    with torch.enable_grad(), requiring_grad(parameters, True):
        for row, group in zip(norms, groups, strict=True):
            values = objective(model, group)
            is_finite = bool(values.isfinite().all())
            if values.requires_grad:
                gradients = torch.autograd.grad(values.sum(), parameters, allow_unused=True)
                for column, gradient in enumerate(gradients):
                    if gradient is not None:
                        row[column] = measure(column, gradient.unsqueeze(0))[0]
            elif is_finite:
                name = f"{objective.__name__} of {type(model).__name__}"
                raise UnsupportedError(f"{name} does not depend on any parameter")
            if not is_finite:
                row.fill_(torch.nan)
    return norms


def _require_floating(model: DensityModel) -> None:
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point():
            raise UnsupportedError(
                f"parameter {name!r} of {type(model).__name__} is {parameter.dtype}, without a "
                "gradient: make it a buffer"
            )
