"""A small U-Net that reads an image and a noise level, for models that remove noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oodbench import Images
from plugins.models.networks.first_order import Values

OCTAVES = 4
"""Number of frequencies of the noise level that the network is given."""
RANGE = 16.0
"""The lowest frequency has half a period between the noise levels -16 and 16."""
VALUES = Values()


class UNet(nn.Module):
    r"""Convolutions that halve the image some times and double it again, with skip connections.

    On every scale, before and after the smaller scales, there is a residual block with the noise
    level γ = log(σ² / α²),

    x + conv(silu((1 + a) h + b)),   h = conv(silu(x)),   (a, b) = linear(embedding(γ))

    A 3x3 convolution with stride 2 leads to the next smaller scale, and a 1x1 convolution after
    doubling leads back; results are added to the block on the way down. The smallest scale may
    have self-attention, softmax(q'k / sqrt(d)) v over all positions, for each of several heads.

    Departures from the network of Ho et al. (2020): no group normalisation and no dropout; skip
    connections are added.

    Arguments:
        domain: The images; an odd size is rounded up when it is halved.
        outputs: Number of channels of the result.
        width: Number of channels on the largest scale; each halving doubles them.
        halvings: Number of halvings.
        heads: Number of attention heads on the smallest scale; 0 for no attention.

    References:
        | U-Net (Ronneberger et al., 2015): https://arxiv.org/abs/1505.04597
        | Denoising Diffusion Probabilistic Models (Ho et al., 2020)
        | https://arxiv.org/abs/2006.11239
    """

    def __init__(
        self, domain: Images, *, outputs: int, width: int, halvings: int, heads: int
    ) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(halvings + 1)]
        self.embedding = NoiseLevelEmbedding(4 * width)
        self.first = nn.Conv2d(domain.channels + 1, width, 3, padding=1)
        self.down = nn.ModuleList(Block(w, 4 * width) for w in widths[:-1])
        self.smaller = nn.ModuleList(
            nn.Conv2d(w, 2 * w, 3, stride=2, padding=1) for w in widths[:-1]
        )
        self.middle = Block(widths[-1], 4 * width)
        self.attention = Attention(widths[-1], heads) if heads else None
        self.larger = nn.ModuleList(nn.Conv2d(2 * w, w, 1) for w in widths[:-1])
        self.up = nn.ModuleList(Block(w, 4 * width) for w in widths[:-1])
        self.last = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, z: Tensor, gamma: Tensor, rows: Values = VALUES) -> Tensor:
        """Map noisy images to numbers for each pixel.

        Arguments:
            z: Floating, (N, C, H, W), with a variance of about 1.
            gamma: Noise level log(σ² / α²) of each image, floating, (N,).
            rows: What the rows of z are; those of the result are the same.

        Returns:
            Floating, (N, outputs, H, W).
        """
        level = self.embedding(gamma)
        z = torch.cat((z, torch.ones_like(z[:, :1])), dim=1)  # ones tell padding from grey
        x = self.first(z.contiguous(memory_format=torch.channels_last))
        kept = []
        for block, smaller in zip(self.down, self.smaller, strict=True):
            kept.append(block(x, level, rows))
            x = smaller(rows.silu(kept[-1]))
        x = self.middle(x, level, rows)
        x = self.attention(x, rows) if self.attention is not None else x
        for k in reversed(range(len(kept))):
            doubled = self.larger[k](rows.silu(x)).repeat_interleave(2, 2).repeat_interleave(2, 3)
            height, width = kept[k].shape[2:]
            x = self.up[k](kept[k] + doubled[:, :, :height, :width], level, rows)
        raw: Tensor = self.last(rows.silu(x))
        return raw.to(z.dtype)


class NoiseLevelEmbedding(nn.Module):
    """Embedding of noise levels: sines and cosines, then two linear layers.

    Arguments:
        width: Number of outputs.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(2 * OCTAVES, width)
        self.linear2 = nn.Linear(width, width)

    def forward(self, gamma: Tensor) -> Tensor:
        """Map floating (N,), limited to `RANGE`, to (N, width)."""
        angles = gamma.clamp(-RANGE, RANGE).unsqueeze(1) * (math.pi / (2 * RANGE))
        angles = angles * 2.0 ** torch.arange(OCTAVES, dtype=gamma.dtype, device=gamma.device)
        waves = torch.cat((angles.sin(), angles.cos()), dim=1)
        return F.silu(self.linear2(F.silu(self.linear1(waves))))


class Block(nn.Module):
    """Residual block of a `UNet`, which changes little at the start of training.

    Arguments:
        width: Number of channels.
        level_width: Width of the embedded noise level.
    """

    def __init__(self, width: int, level_width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.level = nn.Linear(level_width, 2 * width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, x: Tensor, level: Tensor, rows: Values) -> Tensor:
        """Map floating (N, width, H, W) to the same shape, with `level`, (N, level_width)."""
        scale, shift = self.level(level)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, 1 + scale, self.conv1(rows.silu(x)))
        return x + self.conv2(rows.silu(h))


class Attention(nn.Module):
    """Residual self-attention between all positions.

    Arguments:
        width: Number of channels; the number of heads must divide it.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.inputs = nn.Conv2d(width, 3 * width, 1)
        self.outputs = nn.Conv2d(width, width, 1)
        with torch.no_grad():
            self.outputs.weight.mul_(0.1)

    def forward(self, x: Tensor, rows: Values = VALUES) -> Tensor:
        """Map floating (N, width, H, W) to the same shape."""
        parts = self.inputs(x).flatten(2).unflatten(1, (3, self._heads, -1))  # (N, 3, heads, d, P)
        found = rows.attend(*parts.transpose(-1, -2).unbind(1))  # (N, heads, P, d)
        y: Tensor = x + self.outputs(found.transpose(-1, -2).reshape(x.shape))
        return y
