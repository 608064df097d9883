"""Continuous flows trained by matching velocities, and their density by a fixed-step solver."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

import torch
from torch import Generator, Tensor, nn

from oodbench import Images, Likelihood
from plugins.models.flows.dequantised import DequantisedFlow
from plugins.models.networks.first_order import FirstOrder
from plugins.models.networks.pixel_mixture import PixelMixture
from plugins.models.networks.unet import UNet


class Velocity(Protocol):
    """Estimate of y - ε; in practice a `torch.nn.Module`."""

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Estimate y - ε, (N, C, H, W), from x = t y + (1 - t) ε and t, (N,)."""

    def along(self, x: Tensor, t: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the same, and its derivatives along directions, (N, P, C, H, W) like these."""


class FlowMatching(DequantisedFlow):
    r"""Density of images that move from noise at t = 0 to data at t = 1 with a learned velocity.

    dx/dt = v(x, t),   log p(x_1) = log N(x_0; 0, I) - ∫ tr ∂v/∂x dt     (Chen et al., 2018, Eq. 8)
    training: E_{t, ε, y} ‖v(t y + (1 - t) ε, t) - (y - ε)‖²         (Lipman et al., 2023, Eq. 23)

    with y the dequantised image in [-1, 1). The solver is the midpoint rule with fixed steps, for
    the path and for the integral: steps chosen by an error tolerance would depend on the rest of
    the batch. The trace is estimated from probes e with entries ±1, tr A ≈ mean e'Ae (Hutchinson,
    1990), the same for every example and step; with as many probes as dimensions, unit vectors
    give the exact trace. So the density is an estimate: the solver's error and the probes' noise
    go either way, and more of both lessen them.

    Steps are short near the data, where the velocity changes over a grey level:

    1 - t_k = (r^(k / n) - 1) / (r - 1),   r = 2 levels

    Departure from Lipman et al.: training draws t with the same density, in place of uniformly.

    Arguments:
        domain: The images.
        velocity: Estimates the velocity.
        steps: Number of steps, n.
        probes: Number of probes, limited to the number of dimensions, where the trace is exact.
        noise_seed: Seed for the probes.

    References:
        | Flow Matching for Generative Modeling (Lipman et al., 2023)
        | https://arxiv.org/abs/2210.02747
        | Neural Ordinary Differential Equations (Chen et al., 2018)
        | https://arxiv.org/abs/1806.07366
        | FFJORD (Grathwohl et al., 2019): https://arxiv.org/abs/1810.01367
    """

    likelihood: Likelihood = "estimate"
    probes: Tensor

    def __init__(
        self, domain: Images, *, velocity: Velocity, steps: int, probes: int, noise_seed: int
    ) -> None:
        super().__init__(domain)
        self.velocity, self._steps = velocity, steps
        self._is_exact = probes >= domain.dims
        if self._is_exact:
            bank = torch.eye(domain.dims)
        else:
            generator = torch.Generator().manual_seed(noise_seed)
            bank = 2.0 * torch.randint(2, (probes, domain.dims), generator=generator) - 1
        shape = (-1, *domain.shape)
        self.register_buffer("probes", bank.reshape(shape), persistent=False)  # (P, C, H, W)

    def transform(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `DequantisedFlow.transform`: from data to noise."""
        x, integral = 2 * y, y.new_zeros(len(y))
        for t, middle, step in self._grid(y):
            at = x + 0.5 * step * self.velocity(x, t.expand(len(x)))
            velocity, trace = self._with_trace(at, middle.expand(len(x)))
            x, integral = x + step * velocity, integral + step * trace
        z = x.flatten(1)
        base = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
        return z, base, integral + self.domain.dims * math.log(2)

    def inverse(self, z: Tensor) -> Tensor:
        """See `DequantisedFlow.inverse`: from noise to data, with the same steps backwards."""
        x = z.reshape(-1, *self.domain.shape)
        for t, middle, step in reversed(list(self._grid(z))):
            start = 2 * middle - t
            at = x - 0.5 * step * self.velocity(x, start.expand(len(x)))
            x = x - step * self.velocity(at, middle.expand(len(x)))
        return x / 2

    def draw_noise(self, n: int, generator: Generator) -> Tensor:
        """See `DequantisedFlow.draw_noise`."""
        return torch.randn(n, self.domain.dims, generator=generator, dtype=torch.float32)

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Compute the mean of ‖v - (y - ε)‖², which is no number of nats.

        Arguments:
            x: uint8, (N, *domain.shape).
            generator: Generator on the CPU for the noise in the bin, ε and t.
        """
        within = torch.rand(x.shape, generator=generator, dtype=torch.float32)
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float32)
        order = torch.randperm(len(x), generator=generator)  # which must not tell an image's t
        u = (order + torch.rand((), generator=generator)) / max(1, len(x))
        y = 2 * self._scaled(self._within(x, within))
        noise, t = noise.to(y), self._time(u.to(y))
        at = torch.lerp(noise, y, t[:, None, None, None])
        return (self.velocity(at, t) - (y - noise)).square().flatten(1).sum(1).mean()

    @property
    def noise_range(self) -> tuple[float, float]:
        """A sixth to 6 times the number of grey levels; training goes a little beyond both."""
        return 1 / 6, 6.0 * self.domain.levels

    @torch.no_grad()
    def estimate_noise(self, z: Tensor, sd: float) -> Tensor:
        """Estimate ε, (N, *domain.shape), from z = x + sd ε in grey levels: ε̂ = x_t - t v."""
        t = 1 / (1 + sd * 2 / self.domain.levels)
        x = 2 * t * self._middle(z)
        return x - t * self.velocity(x, x.new_full((len(x),), t))

    def prepare(self, x: Tensor) -> None:
        """Initialise nothing: there is no ActNorm."""

    def _time(self, u: Tensor) -> Tensor:
        """Map u in [0, 1], evenly spaced, to t, from 1 to 0."""
        ratio = 2 * self.domain.levels
        return 1 - torch.expm1(u * math.log(ratio)) / (ratio - 1)

    def _grid(self, like: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield start, middle and length of each step from t = 1 to 0, 0-dim; lengths < 0."""
        u = torch.linspace(0, 1, self._steps + 1, dtype=like.dtype, device=like.device)
        for start, end in pairwise(self._time(u)):
            yield start, 0.5 * (start + end), end - start

    def _with_trace(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the velocity, (N, C, H, W), and the trace of its Jacobian, (N,)."""
        directions = self.probes.expand(len(x), *self.probes.shape)
        velocity, products = self.velocity.along(x, t, directions)
        quadratic = (directions * products).flatten(2).sum(2)  # (N, P)
        return velocity, quadratic.sum(1) if self._is_exact else quadratic.mean(1)


class UNetVelocity(nn.Module):
    """Estimate of the velocity by a U-Net, through a distribution of each pixel.

    Arguments:
        domain: The images.
        width: See `UNet`.
        halvings: See `UNet`.
        heads: See `UNet`.
        components: Number of Gaussians in each `PixelMixture`.
    """

    def __init__(
        self, domain: Images, *, width: int, halvings: int, heads: int, components: int
    ) -> None:
        super().__init__()
        self._pixels = PixelMixture(domain, components=components)
        outputs = self._pixels.outputs
        self.unet = UNet(domain, outputs=outputs, width=width, halvings=halvings, heads=heads)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """See `Velocity`."""
        raw = self.unet(x / _scale(t), _noise_level(t))
        return self._pixels.velocity(raw, x, t)

    def along(self, x: Tensor, t: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """See `Velocity`."""
        count = directions.shape[1]
        rows, times = FirstOrder(count), t.repeat_interleave(1 + count)
        z = rows.join(x, directions) / _scale(times)
        raw, slopes = rows.split(self.unet(z, _noise_level(times), rows))
        return self._pixels.velocity_along(raw, x, t, slopes, directions)


def _scale(t: Tensor) -> Tensor:
    """Compute the standard deviation of images at t, (N, 1, 1, 1), if theirs at t = 1 is 1."""
    return torch.sqrt(t.square() + (1 - t).square())[:, None, None, None]


def _noise_level(t: Tensor) -> Tensor:
    """Compute the noise level log((1 - t)² / t²)."""
    return 2 * torch.logit(1 - t, eps=1e-6)
