"""Flow layers in a row, and the logit before them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from plugins.models.flows.multiscale import squeeze, unsqueeze


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

    s = alpha + (1 - 2 alpha) (x + 1/2),   y = log s - log(1 - s)
    ladj = sum log(1 - 2 alpha) - log s - log(1 - s)

    for x in [-1/2, 1/2). Samples may lie outside the range of images and are clamped.

    The smaller alpha, the wider the bins of black and white beside the others. For 8 bits the bin
    of black has 1 % of the range of y with alpha = 0.05, and 12 % with 0.001. Where many pixels
    are black, a narrow bin slows training: a density that is high in this bin and nowhere else
    takes scales of hundreds.

    Arguments:
        alpha: Distance of s from 0 and from 1 at the ends of the range, in (0, 1/2).

    References:
        | Density estimation using Real NVP (Dinh et al., 2017), 4.1: alpha = 0.05
        | https://arxiv.org/abs/1605.08803
        | Masked Autoregressive Flow for Density Estimation (Papamakarios et al., 2017), Appendix:
        | alpha = 1e-6 for MNIST, 0.05 for CIFAR-10
        | https://arxiv.org/abs/1705.07057
    """

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, and ladj (N,)."""
        s = self.alpha + (1 - 2 * self.alpha) * (x + 0.5)
        log_s, log_rest = torch.log(s), torch.log1p(-s)
        ladj = math.log(1 - 2 * self.alpha) - log_s - log_rest
        return log_s - log_rest, ladj.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, C, H, W) to the same shape."""
        return (torch.sigmoid(y) - self.alpha) / (1 - 2 * self.alpha) - 0.5


class Squeeze(nn.Module):
    """The layer of `squeeze`."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to (N, 4 C, H/2, W/2), and ladj = 0, (N,)."""
        return squeeze(x), x.new_zeros(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, 4 C, H/2, W/2) to (N, C, H, W)."""
        return unsqueeze(y)
