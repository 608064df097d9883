r"""Fused steps for a Glow level: fewer, larger operations for the same function and parameters.

With s = exp(log_scale) and b the bias in an ActNorm, W the 1x1 convolution, e = exp(3 log_scale),
* a convolution, and every scale applied to output channels,

    W (s (x + b)) = (W s) x + (W s) b             relu(s (w * x + b)) = relu((s w) * x + s b)
    e (w * x + bias) = (e w) * x + e bias

so that affine layers never pass over the activations: each is folded into the weights, which are
far smaller, for all steps in a level at once. Activations are channels-last, the fastest layout
for the convolutions: the pixels in an image are then the rows of a matrix. If networks compute in
bfloat16, the couplings' folded weights are rounded, and W s is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plugins.models.altered import is_altered
from plugins.models.flows.actnorm import ActNorm, InvertibleActNorm
from plugins.models.flows.convolutions import HiddenConv2d, ZeroConv2d
from plugins.models.flows.couplings import ConvCoupling
from plugins.models.flows.mixing import InvertibleConv1x1LU, exactly, triangular_factors

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
    """Return whether a step has the original parts, without hooks or altered calls.

    The fused steps do not call the parts, so a hook on a part would not run.
    """
    parts = {name: type(part) for name, part in step.named_modules() if name}
    return parts == PARTS and not any(is_altered(module) for module in step.modules())


class FoldedSteps:
    """Parameters for K steps, in the form used by the fused steps: C channels, w hidden channels.

    Arguments:
        steps: Steps with equal numbers of channels and equal width.

    Attributes:
        scales, biases: exp(log_scale) and bias for each step's ActNorm, (K, C).
        p, lower, upper: The factors in the 1x1 convolutions, (K, C, C).
        mixes: P L U, (K, C, C).
        ladj: ladj per pixel, from the ActNorms and 1x1 convolutions in all steps, a scalar.
        mix, shift: W s and (W s) b for each step, (C, C) and (C,).
        s1, s2: exp(log_scale) for the hidden ActNorms in each step, (w, 1, 1, 1).
        b1, b2: The hidden ActNorms' biases times these scales, (w,).
        e: exp(3 log_scale) for the last convolutions, (K, C).
        b3: The last convolutions' biases times e, (K, C).
    """

    def __init__(self, steps: Sequence[Any]) -> None:
        def stacked(get: Callable[[Any], Tensor]) -> Tensor:
            return torch.stack([get(step) for step in steps])

        def hidden(norm: Callable[[Any], ActNorm]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
            scale = torch.exp(stacked(lambda s: norm(s).log_scale))  # (K, w, 1, 1)
            bias = scale * stacked(lambda s: norm(s).bias)
            return scale.unsqueeze(4).unbind(), bias.flatten(1).unbind()

        log_scale, log_s = stacked(lambda s: s.norm.log_scale), stacked(lambda s: s.mix.log_s)
        self.ladj = log_scale.sum() + log_s.sum()
        self.scales = torch.exp(log_scale).flatten(1)
        self.biases = stacked(lambda s: s.norm.bias).flatten(1)
        self.p = stacked(lambda s: s.mix.p)
        lower, upper = stacked(lambda s: s.mix.lower), stacked(lambda s: s.mix.upper)
        sign = stacked(lambda s: s.mix.sign)
        self.lower, self.upper = triangular_factors(lower, upper, log_s, sign)
        self.mixes = self.p @ (self.lower @ self.upper)
        scaled = self.mixes * self.scales.unsqueeze(1)
        self.mix = scaled.unbind()
        self.shift = (scaled @ self.biases.unsqueeze(2)).squeeze(2).unbind()
        self.s1, self.b1 = hidden(lambda s: s.coupling.norm1)
        self.s2, self.b2 = hidden(lambda s: s.coupling.norm2)
        self.e = torch.exp(3 * stacked(lambda s: s.coupling.conv3.log_scale)).flatten(1)
        self.b3 = self.e * stacked(lambda s: s.coupling.conv3.bias)


def last_convolution(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply the last convolution of a coupling, (N, w, H, W) to (N, C, H, W), dtype of the bias.

    Outputs in bfloat16 get the bias afterwards: a scale near sigmoid(2) would lose bits.
    """
    if h.dtype == bias.dtype:
        return F.conv2d(h, weight, bias, padding=1)
    return F.conv2d(h, weight.to(h.dtype), padding=1).to(bias.dtype) + bias[:, None, None]


def fused_steps(steps: Iterable[nn.Module], x: Tensor) -> tuple[Tensor, Tensor]:
    """Apply the steps in order.

    Arguments:
        steps: Steps with equal numbers of channels and equal width; each `can_be_fused`.
        x: Floating, (N, C, H, W), in any memory format.

    Returns:
        Floating, (N, C, H, W), channels-last, and ladj (N,), in nats.
    """
    steps = list(steps)
    with exactly(x):
        p = FoldedSteps(steps)
    half = x.shape[1] // 2
    two = F.pad(p.b3.new_full((half,), 2.0), (half, 0))  # added to the raw scales
    e, b3 = p.e[..., None, None, None].unbind(), (p.b3 + two).unbind()
    ladj = p.ladj * (x.shape[2] * x.shape[3])
    x = x.permute(0, 2, 3, 1)  # (N, H, W, C)
    for k, step in enumerate(steps):
        with exactly(x):
            x = F.linear(x, p.mix[k], p.shift[k])
        a, b = x[..., :half], x[..., half:]
        net = step.coupling
        h = a.permute(0, 3, 1, 2)  # (N, C/2, H, W)
        h = F.conv2d(h, p.s1[k] * net.conv1.weight, p.b1[k], padding=1).relu_()  # (N, w, H, W)
        h = F.conv2d(h, p.s2[k] * net.conv2.weight, p.b2[k]).relu_()  # (N, w, H, W)
        out = last_convolution(h, e[k] * net.conv3.weight, b3[k]).permute(0, 2, 3, 1)
        log_scale = F.logsigmoid(out[..., half:])  # (N, H, W, C/2)
        x = torch.cat((a, (b + out[..., :half]) * torch.exp(log_scale)), dim=3)
        ladj = ladj + log_scale.sum(dim=(1, 2, 3))
    return x.permute(0, 3, 1, 2), ladj
