"""Rules for layers whose weight has weight normalisation."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from plugins.statistics.layer_gradients.norms import Outer, RuleGradient
from plugins.statistics.layer_gradients.registry import Call, layer_gradient_rule
from plugins.statistics.layer_gradients.rules.torch_layers import (
    Convolution,
    channel_sums,
    explicit_convolution_gradient,
    linear,
)

LENGTH, DIRECTION = "parametrizations.weight.original0", "parametrizations.weight.original1"


def _has_weight_norm(module: nn.Module) -> bool:
    if not parametrize.is_parametrized(module, "weight"):
        return False
    steps = list(module.parametrizations["weight"])  # type: ignore[index]
    return [type(step) for step in steps] == [parametrizations._WeightNorm]


weight_norm_rule = partial(
    layer_gradient_rule, parameters=(LENGTH, DIRECTION, "bias"), when=_has_weight_norm
)


@weight_norm_rule(nn.Linear)
def linear_with_weight_norm(module: nn.Linear, call: Call) -> dict[str, RuleGradient]:
    """Like `linear`, with W = g v / |v|."""
    gradients = linear(module, call)
    product = gradients["weight"]
    assert isinstance(product, Outer)
    return {"bias": gradients["bias"], **_length_and_direction(module, product.explicit())}


@weight_norm_rule(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def convolution_with_weight_norm(module: Convolution, call: Call) -> dict[str, RuleGradient]:
    """Like `convolution`, with W = g v / |v|."""
    weight = explicit_convolution_gradient(module, call)
    bias = channel_sums(call, call.delta())
    return {"bias": bias, **_length_and_direction(module, weight)}


def _length_and_direction(module: nn.Module, weight: Tensor) -> dict[str, Tensor]:
    """For W = g u, u = v / |v|: dg = sum dW u, dv = g / |v| (dW - dg u), by output or in all.

    Arguments:
        module: Has weight normalisation.
        weight: dW, floating, (M, *weight.shape).
    """
    parts = module.parametrizations["weight"]  # type: ignore[index]
    length, direction, kept = parts.original0, parts.original1, parts[0].dim
    over = [dim for dim in range(direction.dim()) if dim != kept]
    norm = torch.linalg.vector_norm(direction, dim=over, keepdim=True)
    unit = direction / norm
    d_length = (weight * unit).sum([1 + dim for dim in over], keepdim=True)
    d_direction = (length.reshape(norm.shape) / norm) * (weight - d_length * unit)
    return {LENGTH: d_length.reshape(-1, *length.shape), DIRECTION: d_direction}
