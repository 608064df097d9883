r"""The steps of a level of Glow in fewer and larger operations; the same function and parameters.

With s = exp(log_scale) and b the bias of an ActNorm, W the 1x1 convolution, e = exp(3 log_scale),
* a convolution and every scale one of output channels,

    W (s (x + b)) = (W s) x + (W s) b             relu(s (w * x + b)) = relu((s w) * x + s b)
    e (w * x + bias) = (e w) * x + e bias

so that no affine layer passes over the activations: it is folded into the few numbers of the
weights, for all the steps of a level at once. Activations are channels-last, which is how the
convolutions want them: the pixels of an image are then the rows of a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plugins.models.flows.actnorm import ActNorm, InvertibleActNorm
from plugins.models.flows.convolutions import HiddenConv2d, ZeroConv2d
from plugins.models.flows.couplings import ConvCoupling
from plugins.models.flows.mixing import InvertibleConv1x1LU

PARTS: dict[str, type[nn.Module]] = {
    "norm": InvertibleActNorm,
    "mix": InvertibleConv1x1LU,
    "coupling": ConvCoupling,
    "coupling.conv1": HiddenConv2d,
    "coupling.norm1": ActNorm,
    "coupling.conv2": HiddenConv2d,
    "coupling.norm2": ActNorm,
    "coupling.conv3": ZeroConv2d,
}


def can_be_fused(step: nn.Module) -> bool:
    """Whether a step has the parts it was built with, and nobody watches or alters their calls.

    The fused steps call no part, so a hook on one would not run.
    """
    parts = dict(step.named_modules())
    own = parts.pop("")
    return {name: type(part) for name, part in parts.items()} == PARTS and not any(
        part._forward_hooks
        or part._forward_pre_hooks
        or part._backward_hooks
        or part._backward_pre_hooks
        or "forward" in vars(part)
        for part in (own, *parts.values())
    )


def fused_steps(steps: Iterable[nn.Module], x: Tensor) -> tuple[Tensor, Tensor]:
    """What the steps do one after the other.

    Arguments:
        steps: Of one number of channels and one width; each `can_be_fused`.
        x: Floating, (N, C, H, W), in any memory format.

    Returns:
        Floating, (N, C, H, W), channels-last, and ladj (N,), in nats.
    """
    steps = list(steps)
    weights, ladj = _folded(steps)
    ladj = ladj * (x.shape[2] * x.shape[3])
    half = x.shape[1] // 2
    x = x.permute(0, 2, 3, 1)  # (N, H, W, C)
    for step, (mix, shift, w1, b1, w2, b2, w3, b3) in zip(steps, weights, strict=True):
        x = F.linear(x, mix, shift)
        a, b = x[..., :half], x[..., half:]
        net = step.coupling
        h = a.permute(0, 3, 1, 2)  # (N, C/2, H, W)
        h = F.conv2d(h, w1 * net.conv1.weight, b1, padding=1).relu_()  # (N, width, H, W)
        h = F.conv2d(h, w2 * net.conv2.weight, b2).relu_()  # (N, width, H, W)
        out = F.conv2d(h, w3 * net.conv3.weight, b3, padding=1).permute(0, 2, 3, 1)
        log_scale = F.logsigmoid(out[..., half:])  # (N, H, W, C/2)
        x = torch.cat((a, (b + out[..., :half]) * torch.exp(log_scale)), dim=3)
        ladj = ladj + log_scale.sum(dim=(1, 2, 3))
    return x.permute(0, 3, 1, 2), ladj


def _folded(steps: Sequence[Any]) -> tuple[Iterable[Sequence[Tensor]], Tensor]:
    """For each step what `fused_steps` uses, and ladj of one pixel but for the couplings.

    These are W s, (C, C), and (W s) b, (C,); then for each convolution of the coupling the scales
    of its outputs, (outputs, 1, 1, 1), and its bias, (outputs,), which for the last one holds the
    2 that is added to the raw scales.
    """

    def stacked(get: Callable[[Any], Tensor]) -> Tensor:
        return torch.stack([get(step) for step in steps])

    log_scale, log_s = stacked(lambda s: s.norm.log_scale), stacked(lambda s: s.mix.log_s)
    diagonal = torch.exp(log_s) * stacked(lambda s: s.mix.sign)
    upper = stacked(lambda s: s.mix.upper).triu(1) + torch.diag_embed(diagonal)
    lower = stacked(lambda s: s.mix.lower).tril(-1) + torch.diag_embed(torch.ones_like(log_s))
    mix = stacked(lambda s: s.mix.p) @ (lower @ upper)  # (K, C, C)
    mix = mix * torch.exp(log_scale).flatten(1).unsqueeze(1)
    shift = (mix @ stacked(lambda s: s.norm.bias).flatten(2)).flatten(1)
    folded = [mix, shift]
    for norm in ("norm1", "norm2"):
        scale = torch.exp(stacked(lambda s, n=norm: getattr(s.coupling, n).log_scale))
        bias = stacked(lambda s, n=norm: getattr(s.coupling, n).bias)
        folded += [scale.unsqueeze(4), (scale * bias).flatten(1)]  # (K, width, 1, 1, 1)
    scale = torch.exp(3 * stacked(lambda s: s.coupling.conv3.log_scale))  # (K, C, 1, 1)
    bias = scale.flatten(1) * stacked(lambda s: s.coupling.conv3.bias)  # (K, C)
    two = F.pad(bias.new_full((bias.shape[1] // 2,), 2.0), (bias.shape[1] // 2, 0))
    folded += [scale.unsqueeze(4), bias + two]
    unbound = zip(*(each.unbind() for each in folded), strict=True)
    return unbound, log_scale.sum() + log_s.sum()
