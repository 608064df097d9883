"""Convolutions used inside Glow's networks: hidden, and starting at zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HiddenConv2d(nn.Conv2d):
    """Convolution without bias, keeping height and width; weights start as N(0, 0.05^2).

    The ActNorm after the convolution supplies the bias.

    Arguments:
        in_channels: Number of input channels, (N, in_channels, H, W).
        channels: Number of output channels, (N, channels, H, W).
        size: Kernel height and width; odd.
    """

    def __init__(self, in_channels: int, channels: int, *, size: int) -> None:
        super().__init__(in_channels, channels, size, padding=size // 2, bias=False)

    def reset_parameters(self) -> None:
        """Draw the initial weights."""
        nn.init.normal_(self.weight, 0.0, 0.05)


class ZeroConv2d(nn.Conv2d):
    r"""3x3 convolution starting at zero, with a learned log-scale per output channel.

    y = (weight * x + bias) exp(3 log_scale)

    The scales are multiplied into weight and bias, because these are smaller than the
    activations. The factor 3 comes from the authors' code and makes the scale learn faster.

    Arguments:
        in_channels: Number of input channels, (N, in_channels, H, W).
        channels: Number of output channels, (N, channels, H, W).

    References:
        | Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018), 3.3
        | https://arxiv.org/abs/1807.03039
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(in_channels, channels, 3, padding=1)
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))

    def reset_parameters(self) -> None:
        """Set the initial weights, all zero."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map floating (N, in_channels, H, W) to (N, channels, H, W)."""
        scale = torch.exp(3 * self.log_scale)  # (channels, 1, 1)
        return F.conv2d(x, self.weight * scale[..., None], self.bias * scale.flatten(), padding=1)
