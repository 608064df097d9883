"""Flow layers in a row, and the logit before them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from plugins.models.flows.multiscale import squeeze, unsqueeze

EDGE = 0.05  # alpha in Dinh et al., 4.1


class Chain(nn.Sequential):
    """Flow layers applied in order; ladj is the sum."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map the first layer's input to the last layer's output, and ladj (N,)."""
        total = x.new_zeros(x.shape[0])
        for layer in self:
            x, ladj = layer(x)
            total = total + ladj
        return x, total

    def inverse(self, y: Tensor) -> Tensor:
        """Map the last layer's output to the first layer's input."""
        for layer in reversed(self):
            y = layer.inverse(y)
        return y


class Logit(nn.Module):
    r"""Logit of grey levels, away from both ends: images have bounded values, a Gaussian has not.

    s = alpha + (1 - 2 alpha) (x + 1/2),   y = log s - log(1 - s),   alpha = 0.05
    ladj = sum log(1 - 2 alpha) - log s - log(1 - s)

    for x in [-1/2, 1/2). Then y is within ±2.95. Samples may lie outside the range of images and
    are clamped.

    References:
        | Density estimation using Real NVP (Dinh et al., 2017), 4.1
        | https://arxiv.org/abs/1605.08803
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, and ladj (N,)."""
        s = EDGE + (1 - 2 * EDGE) * (x + 0.5)
        log_s, log_rest = torch.log(s), torch.log1p(-s)
        ladj = math.log(1 - 2 * EDGE) - log_s - log_rest
        return log_s - log_rest, ladj.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, C, H, W) to the same shape."""
        return (torch.sigmoid(y) - EDGE) / (1 - 2 * EDGE) - 0.5


class Squeeze(nn.Module):
    """The layer of `squeeze`."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to (N, 4 C, H/2, W/2), and ladj = 0, (N,)."""
        return squeeze(x), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, 4 C, H/2, W/2) to (N, C, H, W)."""
        return unsqueeze(y)
