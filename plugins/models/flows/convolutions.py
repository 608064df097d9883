"""The two kinds of convolution inside Glow's networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HiddenConv2d(nn.Conv2d):
    """Convolution without bias that keeps height and width; weights start as N(0, 0.05^2).

    An ActNorm follows it and supplies the bias.

    Arguments:
        in_channels: Channels of the input, (N, in_channels, H, W).
        channels: Channels of the output, (N, channels, H, W).
        size: Height and width of the kernel; odd.
    """

    def __init__(self, in_channels: int, channels: int, *, size: int) -> None:
        super().__init__(in_channels, channels, size, padding=size // 2, bias=False)

    def reset_parameters(self) -> None:
        """Draw the initial weights."""
        nn.init.normal_(self.weight, 0.0, 0.05)


class ZeroConv2d(nn.Conv2d):
    r"""3x3 convolution that starts at zero, with a learned log-scale per output channel.

    y = (weight * x + bias) exp(3 log_scale)

    The scales are taken into weight and bias, which are smaller than what they would pass over.
    The factor 3 is that of the authors' code; it makes the scale learn faster.

    Arguments:
        in_channels: Channels of the input, (N, in_channels, H, W).
        channels: Channels of the output, (N, channels, H, W).

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
        """Floating (N, in_channels, H, W) to (N, channels, H, W)."""
        scale = torch.exp(3 * self.log_scale)  # (channels, 1, 1)
        return F.conv2d(x, self.weight * scale[..., None], self.bias * scale.flatten(), padding=1)
