"""Levels in a multi-scale flow: squeeze, split, and Gaussians for the halves split off."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from plugins.models.flows.convolutions import ZeroConv2d


def squeeze(x: Tensor) -> Tensor:
    """Turn every 2x2 pixel block into channels: (N, C, H, W) to (N, 4 C, H/2, W/2); ladj = 0.

    Channel 4 c + 2 i + j holds pixel (i, j) from the blocks in channel c (Dinh et al. 2017, 3.6).
    The result is channels-last in memory.
    """
    n, channels, height, width = x.shape
    blocks = x.reshape(n, channels, height // 2, 2, width // 2, 2)  # (N, C, H/2, i, W/2, j)
    blocks = blocks.permute(0, 2, 4, 1, 3, 5)  # (N, H/2, W/2, C, i, j)
    blocks = blocks.reshape(n, height // 2, width // 2, 4 * channels)
    return blocks.permute(0, 3, 1, 2)  # (N, 4 C, H/2, W/2)


def unsqueeze(y: Tensor) -> Tensor:
    """Invert `squeeze`: (N, 4 C, H, W) to (N, C, 2 H, 2 W)."""
    n, channels, height, width = y.shape
    blocks = y.reshape(n, channels // 4, 2, 2, height, width)  # (N, C, i, j, H, W)
    blocks = blocks.permute(0, 1, 4, 2, 5, 3)  # (N, C, H, i, W, j)
    return blocks.reshape(n, channels // 4, 2 * height, 2 * width)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """Sum the log-density under N(0, 1) over each example, in nats: (N, ...) to (N,)."""
    return -0.5 * (z**2 + math.log(2 * math.pi)).flatten(1).sum(1)


class ConditionalNormal(nn.Module):
    r"""Density of b given h, by independent Gaussians.

    mean, log_sd = conv(h)
    log p(b | h) = sum log N(b; mean, exp(log_sd)^2)
                 = log N(z; 0, 1) - sum log_sd,   z = (b - mean) exp(-log_sd)

    At first the density is the standard normal, whatever h is.

    Arguments:
        in_channels: Number of channels in h, (N, in_channels, H, W), or (N, in_channels, 1, 1) to
            give every pixel the same mean and log_sd.
        channels: Number of channels in b and z, (N, channels, H, W).
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = ZeroConv2d(in_channels, 2 * channels)

    def forward(self, h: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return z, floating, with the same shape as b, and log p(b | h), (N,), in nats."""
        mean, log_sd = self.conv(h).chunk(2, dim=1)
        z = (b - mean) * torch.exp(-log_sd)
        return z, standard_normal_log_prob(z) - log_sd.expand_as(z).sum(dim=(1, 2, 3))

    def inverse(self, h: Tensor, z: Tensor) -> Tensor:
        """Return b, floating, with the same shape as z."""
        mean, log_sd = self.conv(h).chunk(2, dim=1)
        return mean + z * torch.exp(log_sd)


class Split(nn.Module):
    r"""Half the channels leave the flow, modelled given the half that stays.

    x = (a, b); log p(b | a) by `ConditionalNormal`

    Arguments:
        channels: Number of input channels, C in (N, C, H, W); even.

    References:
        | Density estimation using Real NVP (Dinh et al., 2017), 3.6; the learned prior for the
        | half follows the Glow authors' code (Kingma & Dhariwal, 2018).
        | https://arxiv.org/abs/1605.08803
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.prior = ConditionalNormal(channels // 2, channels // 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a and z, each floating, (N, C/2, H, W), and log p(b | a), (N,), in nats."""
        a, b = x.chunk(2, dim=1)  # 2 x (N, C/2, H, W)
        z, log_prob = self.prior(a, b)
        return a, z, log_prob

    def inverse(self, a: Tensor, z: Tensor) -> Tensor:
        """Return x, floating, (N, C, H, W)."""
        return torch.cat((a, self.prior.inverse(a, z)), dim=1)


class Top(nn.Module):
    r"""Learned base density for the output from the last level.

    log p(x) by `ConditionalNormal`, given h = 0 with 2 C channels

    The convolution's weight is therefore never used and has zero gradient; the weight is kept
    because the published model has this layer. Only bias and log-scale learn.

    Arguments:
        channels: Number of input channels, C in (N, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.prior = ConditionalNormal(2 * channels, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z, floating, (N, C, H, W), and log p(x), (N,), in nats."""
        return self.prior(self._zeros(x), x)

    def inverse(self, z: Tensor) -> Tensor:
        """Return x, floating, (N, C, H, W)."""
        return self.prior.inverse(self._zeros(z), z)

    def _zeros(self, x: Tensor) -> Tensor:
        # A row per example, so that per-example gradients see a batch here too; a single pixel,
        # because all pixels get the same result.
        return torch.zeros_like(x[:, :, :1, :1]).repeat(1, 2, 1, 1)  # (N, 2 C, 1, 1)
