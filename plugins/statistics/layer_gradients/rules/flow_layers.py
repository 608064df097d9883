"""Rules for the flow layers in this project."""

from __future__ import annotations

import torch
from torch import Tensor

from plugins.models.flows.actnorm import ActNorm, InvertibleActNorm
from plugins.models.flows.convolutions import ZeroConv2d
from plugins.models.flows.mixing import InvertibleConv1x1, InvertibleConv1x1LU
from plugins.statistics.layer_gradients.norms import GroupGradient, RuleGradient
from plugins.statistics.layer_gradients.registry import Call, layer_gradient_rule
from plugins.statistics.layer_gradients.rules.torch_layers import convolution_gradients, summed_to


@layer_gradient_rule(ActNorm, parameters=("bias", "log_scale"))
def actnorm(module: ActNorm, call: Call) -> dict[str, GroupGradient]:
    """For y = (x + bias) s, s = exp(log_scale): d bias = s sum delta, d log s = sum delta y."""
    x, delta, scale = call.inputs[0], call.delta(), torch.exp(module.log_scale)
    shape = module.bias.shape
    bias = summed_to(call.grouped(delta), shape)
    log_scale = summed_to(call.grouped(delta * (x + module.bias)), shape)
    return {"bias": bias * scale, "log_scale": log_scale * scale}


@layer_gradient_rule(InvertibleActNorm, parameters=("bias", "log_scale"))
def invertible_actnorm(module: InvertibleActNorm, call: Call) -> dict[str, GroupGradient]:
    """Like `actnorm`, with ladj = H W sum_c log_scale_c as a second output."""
    gradients = actnorm(module, call)
    log_scale = gradients["log_scale"]
    assert isinstance(log_scale, Tensor)
    return gradients | {"log_scale": log_scale + _pixels_times_delta(call)}


@layer_gradient_rule(ZeroConv2d, parameters=("weight", "bias", "log_scale"), outputs=True)
def zero_convolution(module: ZeroConv2d, call: Call) -> dict[str, RuleGradient]:
    """For y = (weight * x + bias) exp(3 log_scale): d log_scale = 3 sum delta y."""
    delta = call.delta()
    inner = delta * torch.exp(3 * module.log_scale)
    gradients = convolution_gradients(module, call, call.inputs[0], inner)
    shape = module.log_scale.shape
    log_scale = 3 * summed_to(call.grouped(delta * call.outputs[0]), shape)
    return gradients | {"log_scale": log_scale}


@layer_gradient_rule(InvertibleConv1x1LU, parameters=("lower", "upper", "log_s"))
def lu_convolution(module: InvertibleConv1x1LU, call: Call) -> dict[str, GroupGradient]:
    """For y = W x with W = P L V, V = U + diag(sign exp(log_s)), and ladj = H W sum_c log_s_c.

    With G = dW:  dL = P^T G V^T below the diagonal,  dV = (P L)^T G on and above it.
    """
    lower, upper = module.factors()
    weight = _weight_gradient(call)
    d_lower = (module.p.T @ weight @ upper.T).tril(-1)
    d_upper = (module.p @ lower).T @ weight
    diagonal = torch.diagonal(d_upper, dim1=1, dim2=2) * torch.diagonal(upper)
    log_s = diagonal + _pixels_times_delta(call).flatten(1)
    return {"lower": d_lower, "upper": d_upper.triu(1), "log_s": log_s}


@layer_gradient_rule(InvertibleConv1x1, parameters=("weight",))
def plain_convolution(module: InvertibleConv1x1, call: Call) -> dict[str, GroupGradient]:
    """For y = W x and ladj = H W log|det W|: dW = sum delta x^T + H W delta_ladj W^-T."""
    ladj = _pixels_times_delta(call).flatten(2)  # (M, 1, 1)
    return {"weight": _weight_gradient(call) + ladj * torch.linalg.inv(module.weight).T}


def _weight_gradient(call: Call) -> Tensor:
    """Compute the weight gradient for a 1x1 convolution: explicit, floating, (M, C, C)."""
    x = call.grouped(call.inputs[0]).transpose(1, 2).flatten(2)  # (M, C, P)
    delta = call.grouped(call.delta()).transpose(1, 2).flatten(2)  # (M, C, P)
    return delta @ x.transpose(1, 2)


def _pixels_times_delta(call: Call) -> Tensor:
    """Sum H W times the gradient for ladj, the second output, by group: (M, 1, 1, 1)."""
    pixels = call.inputs[0].shape[2] * call.inputs[0].shape[3]
    return (pixels * call.grouped(call.delta(1)).sum(1)).reshape(-1, 1, 1, 1)
