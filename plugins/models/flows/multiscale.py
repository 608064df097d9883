"""Multi-scale flows: squeeze, split, Gaussians for the halves split off, and the whole flow."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable
from functools import reduce

import torch
from torch import Generator, Tensor, nn

from oodbench import DomainError, Images
from plugins.models.flows.convolutions import ZeroConv2d
from plugins.models.flows.dequantised import DequantisedFlow
from plugins.models.flows.mixing import exactly


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
        mean, log_sd = self._mean_and_log_sd(h)
        z = (b - mean) * torch.exp(-log_sd)
        return z, standard_normal_log_prob(z) - log_sd.expand_as(z).sum(dim=(1, 2, 3))

    def inverse(self, h: Tensor, z: Tensor) -> Tensor:
        """Return b, floating, with the same shape as z."""
        mean, log_sd = self._mean_and_log_sd(h)
        return mean + z * torch.exp(log_sd)

    def _mean_and_log_sd(self, h: Tensor) -> tuple[Tensor, Tensor]:
        with exactly(h):  # a part of the base density
            mean, log_sd = self.conv(h).chunk(2, dim=1)
        return mean, log_sd


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


class MultiscaleFlow(DequantisedFlow, ABC):
    r"""Flow in levels: half the channels leave after each level except the last.

    With b_l the latents that leave after level l, and b_L the whole output from the last level,

    base = sum_{l < L} log p(b_l | a_l) + log p(b_L),   ladj = log|det d(b_1 .. b_L) / dy|

    and z holds the standardised latents, level after level.

    A subclass has a `name`, the name of its entry, for error messages.

    Arguments:
        domain: The images; height and width divisible by 2**levels.
        levels: Number of levels, L; each halves height and width.
        level: Makes a level from the number of input channels C: a module from (N, C, H, W) to
            (N, 4 C, H/2, W/2) and ladj, (N,), with an `inverse`.
        split: Makes a split from the number of input channels: a module like `Split`.
        top: Makes the density of the last output from its number of channels: a module like `Top`.

    Raises:
        DomainError: The height or the width is not divisible by 2**levels.
    """

    name: str

    def __init__(
        self,
        domain: Images,
        levels: int,
        *,
        level: Callable[[int], nn.Module],
        split: Callable[[int], nn.Module],
        top: Callable[[int], nn.Module],
    ) -> None:
        _check(self.name, domain, levels)
        super().__init__(domain)
        channels, height, width = domain.shape
        self.levels, self.splits = nn.ModuleList(), nn.ModuleList()
        shapes = []
        for index in range(levels):
            self.levels.append(level(channels))
            channels, height, width = 4 * channels, height // 2, width // 2
            if index < levels - 1:
                self.splits.append(split(channels))
                channels //= 2
            shapes.append((channels, height, width))
        self.top = top(channels)
        self._latent_shapes = tuple(shapes)  # per example, by level

    def transform(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map y, (N, C, H, W), to z, (N, D), base and ladj, each (N,), in nats."""
        latents, bases, ladjs = self._levels(y)
        z = torch.cat([z.flatten(1) for z in latents], dim=1)
        return z, reduce(torch.add, bases), reduce(torch.add, ladjs)

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """Evaluate the terms in `log_prob(x)` by level, each floating, (N,), in nats.

        `base.l` is the latent density in level l (with all learned means and scales) and `ladj.l`
        the log absolute determinant for the level's steps; level 0 is next to the image. `bins`
        is the constant -D bits ln 2. The terms for levels l and above sum to the log-density of
        the activations entering level l.
        """
        _, bases, ladjs = self._levels(self._middle(x))
        terms = {}
        for level, (base, ladj) in enumerate(zip(bases, ladjs, strict=True)):
            terms |= {f"base.{level}": base, f"ladj.{level}": ladj}
        return terms | {"bins": torch.full_like(bases[0], -self._bin_nats)}

    def latent(self, x: Tensor) -> Tensor:
        """Return the last level's latent, before the base density, floating, (N, D_L).

        The code published with arXiv 2502.00820 differentiates the sum of this latent, of Glow.
        It does not depend on the splits, on the top, or on a coupling just before a split that
        changes only the half leaving the flow.

        Arguments:
            x: uint8, or floating in grey levels, (N, *domain.shape).
        """
        return self._descend(self._middle(x))[0].flatten(1)

    def inverse(self, z: Tensor) -> Tensor:
        """Map z, (N, D), to y, (N, C, H, W)."""
        parts = z.split([math.prod(shape) for shape in self._latent_shapes], dim=1)
        latents = [
            part.reshape(-1, *shape)
            for part, shape in zip(parts, self._latent_shapes, strict=True)
        ]
        y = self.levels[-1].inverse(self.top.inverse(latents[-1]))
        for level in reversed(range(len(self.splits))):
            y = self.levels[level].inverse(self.splits[level].inverse(y, latents[level]))
        return y

    def draw_noise(self, n: int, generator: Generator) -> Tensor:
        """Draw standard normal z, float32, (n, D), on the CPU."""
        return torch.randn(n, self.domain.dims, generator=generator, dtype=torch.float32)

    def _levels(self, y: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Compute z, base and ladj for each level."""
        x, latents, bases, ladjs = self._descend(y)
        z, base = self.top(x)
        return [*latents, z], [*bases, base], ladjs

    def _descend(self, y: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
        """Compute the top's input, z and base for each split, and ladj for each level."""
        x, latents, bases, ladjs = y, [], [], []
        for index, level in enumerate(self.levels):
            x, ladj = level(x)
            ladjs.append(ladj)
            if index < len(self.splits):
                x, z, base = self.splits[index](x)
                latents.append(z)
                bases.append(base)
        return x, latents, bases, ladjs


def _check(name: str, domain: Images, levels: int) -> None:
    """Raise a `DomainError` unless the domain can be halved `levels` times."""
    if domain.height % 2**levels == 0 and domain.width % 2**levels == 0:
        return
    fits = math.gcd(domain.height, domain.width)
    most = (fits & -fits).bit_length() - 1
    hint = f"levels of at most {most} would fit" if most else "glow-linear takes any size"
    raise DomainError(
        f"{name} with levels = {levels} cannot be built for {domain}: height and width must be "
        f"divisible by {2**levels}; {hint}"
    )
