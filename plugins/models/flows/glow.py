"""The convolutional Glow."""

from __future__ import annotations

import math
from functools import reduce

import torch
from torch import Generator, Tensor, nn

from oodbench import DomainError, Images
from plugins.models.flows.actnorm import InvertibleActNorm
from plugins.models.flows.couplings import ConvCoupling
from plugins.models.flows.dequantised import DequantisedFlow
from plugins.models.flows.fused import can_be_fused, fused_steps
from plugins.models.flows.mixing import InvertibleConv1x1LU
from plugins.models.flows.multiscale import Split, Top, squeeze, unsqueeze


class GlowStep(nn.Module):
    """ActNorm, invertible 1x1 convolution and affine coupling; 14 parameter tensors.

    Arguments:
        channels: Number of input channels, C in (N, C, H, W); even.
        width: Number of channels in the coupling's hidden convolutions.
    """

    def __init__(self, channels: int, *, width: int) -> None:
        super().__init__()
        self.norm = InvertibleActNorm(channels)
        self.mix = InvertibleConv1x1LU(channels)
        self.coupling = ConvCoupling(channels, width=width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, and ladj (N,)."""
        x, ladj_norm = self.norm(x)
        x, ladj_mix = self.mix(x)
        x, ladj_coupling = self.coupling(x)
        return x, ladj_norm + ladj_mix + ladj_coupling

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, C, H, W) to the same shape."""
        return self.norm.inverse(self.mix.inverse(self.coupling.inverse(y)))


class GlowLevel(nn.Module):
    """Squeeze, followed by flow steps.

    The steps are fused (see `fused_steps`), which changes numbers by rounding only. If any step
    or part was replaced or has a hook, the steps are called individually instead.

    Arguments:
        channels: Number of input channels, C in (N, C, H, W).
        steps: Number of steps.
        width: Number of channels in the couplings' hidden convolutions.
    """

    def __init__(self, channels: int, *, steps: int, width: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(GlowStep(4 * channels, width=width) for _ in range(steps))

    def is_as_built(self) -> bool:
        """Return whether every step has the original parts, all unaltered."""
        return all(type(step) is GlowStep and can_be_fused(step) for step in self.steps)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to (N, 4 C, H/2, W/2), and ladj (N,)."""
        x = squeeze(x)  # (N, 4 C, H/2, W/2)
        if self.is_as_built():
            return fused_steps(self.steps, x)
        ladj = x.new_zeros(x.shape[0])
        for step in self.steps:
            x, ladj_step = step(x)
            ladj = ladj + ladj_step
        return x, ladj

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, 4 C, H/2, W/2) to (N, C, H, W)."""
        for step in reversed(self.steps):
            y = step.inverse(y)
        return unsqueeze(y)


class Glow(DequantisedFlow):
    r"""Multi-scale flow with 1x1 convolutions and convolutional couplings.

    Each level consists of a squeeze, `steps` steps and, except for the last level, a split: half
    the channels continue to the next level, the other half becomes latent. With b_l the latents
    (b_L is the whole output from the last level),

    base = sum_{l < L} log p(b_l | a_l) + log p(b_L),   ladj = log|det d(b_1 .. b_L) / dy|

    and z holds the standardised latents, level after level. There are
    14 steps levels + 3 (levels - 1) + 3 parameter tensors.

    The departures from the authors' code do not change the family of densities: means and
    log-scales, shifts and scales are halves of the channels instead of alternating channels;
    class labels are left out; ActNorm is initialised at the bin midpoints instead of with noise,
    and a constant channel is only centred.

    Arguments:
        domain: The images; height and width divisible by 2**levels.
        levels: Number of scales, L.
        steps: Number of flow steps in each level.
        width: Number of channels in the couplings' hidden convolutions.

    Raises:
        DomainError: The height or the width is not divisible by 2**levels.

    References:
        | Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018)
        | https://arxiv.org/abs/1807.03039
        | Out-of-Distribution Detection with Immature Models: https://arxiv.org/abs/2502.00820
    """

    def __init__(self, domain: Images, *, levels: int, steps: int, width: int) -> None:
        _check(domain, levels)
        super().__init__(domain)
        channels, height, width_ = domain.shape
        self.levels, self.splits = nn.ModuleList(), nn.ModuleList()
        shapes = []
        for level in range(levels):
            self.levels.append(GlowLevel(channels, steps=steps, width=width))
            channels, height, width_ = 4 * channels, height // 2, width_ // 2
            if level < levels - 1:
                self.splits.append(Split(channels))
                channels //= 2
            shapes.append((channels, height, width_))
        self.top = Top(channels)
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

        The code published with arXiv 2502.00820 differentiates the sum of this latent. The latent
        does not depend on the splits, on the top, or on the coupling just before each split,
        because that coupling changes only the half leaving the flow.

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


def _check(domain: Images, levels: int) -> None:
    """Raise a `DomainError` unless the domain can be halved `levels` times."""
    if domain.height % 2**levels == 0 and domain.width % 2**levels == 0:
        return
    fits = math.gcd(domain.height, domain.width)
    most = (fits & -fits).bit_length() - 1
    hint = f"levels of at most {most} would fit" if most else "glow-linear takes any size"
    raise DomainError(
        f"glow with levels = {levels} cannot be built for {domain}: height and width must be "
        f"divisible by {2**levels}; {hint}"
    )
