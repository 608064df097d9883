"""Diffusion models: the variational bound of the log-probability, and other readings."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from oodbench import Images
from plugins.models.networks.pixel_mixture import PixelMixture
from plugins.models.networks.readings import Reading, gamma_range, noise_range
from plugins.models.networks.unet import UNet

SAMPLING_STEPS = 128


class Denoiser(Protocol):
    """Estimate of the noise ε in z = α y + σ ε; in practice a `torch.nn.Module`."""

    def __call__(self, z: Tensor, gamma: Tensor) -> Tensor:
        """Estimate ε, (N, C, H, W), from z, (N, C, H, W), and gamma, log(σ² / α²), (N,)."""


class Diffusion(nn.Module):
    r"""Density p(x) = E_z p(x | z_0), z_0 from z_1 ~ N(0, I) by removing noise step by step.

    z_t = α_t y + σ_t ε,   σ_t² = sigmoid(γ_t),   α_t² = 1 - σ_t²,   γ_t = γ_0 + (γ_1 - γ_0) t

    with y the image in (-1, 1). In continuous time the variational bound (Kingma et al., 2021) is

    log p(x) >= -(diffusion + prior + reconstruction)
    diffusion = (γ_1 - γ_0) / 2  E_{t, ε} ‖ε - ε̂(z_t, γ_t)‖²                              (Eq. 17)
    prior = KL(N(α_1 y, σ_1² I) ‖ N(0, I))
    reconstruction = -E_ε log p(x | z_0),   p(x | z_0) ∝ Π_i exp(-(z_0i - α_0 y_i)² / 2 σ_0²)

    Prior and reconstruction have no parameters, because γ is fixed; the reconstruction is a number
    for each grey level, found by integration. `log_prob` takes the same K draws (t_k, ε_k) for
    every example: the value is deterministic and per example, and noise common to all examples
    does not disturb their order. The times are spaced evenly, and the known mean of ‖ε‖² lessens
    the noise that a bank leaves in the bound. Training draws afresh.

    With another reading the number is minus the mean error alone, which is no bound of anything.

    Arguments:
        domain: The images.
        denoiser: Estimates the noise.
        reading: What is trained and read.
        draws: Number of draws, K.
        noise_seed: Seed for the draws.

    References:
        | Variational Diffusion Models (Kingma et al., 2021): https://arxiv.org/abs/2107.00630
        | Denoising Diffusion Probabilistic Models (Ho et al., 2020)
        | https://arxiv.org/abs/2006.11239
        | Denoising Diffusion Implicit Models (Song et al., 2021): https://arxiv.org/abs/2010.02502
    """

    levels: Tensor
    noise: Tensor
    excess: Tensor
    reconstruction: Tensor

    def __init__(
        self,
        domain: Images,
        *,
        denoiser: Denoiser,
        reading: Reading,
        draws: int,
        noise_seed: int,
    ) -> None:
        super().__init__()
        self.domain, self.denoiser, self._reading = domain, denoiser, reading
        self.likelihood = reading.likelihood
        generator = torch.Generator().manual_seed(noise_seed)
        if reading.fixed is None:
            gamma = reading.gamma(_evenly(draws, generator))
        else:
            gamma = torch.full((draws,), reading.fixed)
        noise = torch.randn(draws, *domain.shape, generator=generator)
        has_control = draws > 1 and reading.likelihood == "lower_bound"
        excess = (noise.flatten(1).square().sum(1) - domain.dims) * has_control
        reconstruction = reconstruction_nats(domain, gamma_range(domain)[0])
        self.register_buffer("levels", gamma, persistent=False)  # (K,)
        self.register_buffer("noise", noise, persistent=False)  # (K, C, H, W)
        self.register_buffer("excess", excess, persistent=False)  # (K,), ‖ε‖² - D
        self.register_buffer("reconstruction", reconstruction, persistent=False)  # (levels,)

    def log_prob(self, x: Tensor) -> Tensor:
        """Evaluate the reading, floating, (N,), in nats, for uint8 x, (N, *domain.shape)."""
        return torch.stack(list(self.log_prob_terms(x).values())).sum(0)

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """Evaluate the terms in `log_prob(x)`, each floating, (N,), in nats.

        Rows of the network are the draws of the first example, then of the second: layer gradients
        need the rows of an example together.
        """
        draws = len(self.levels)
        y = self._scaled(x).repeat_interleave(draws, dim=0)
        gamma, noise = self.levels.repeat(len(x)), self.noise.repeat(len(x), 1, 1, 1)
        errors = self._error(y, gamma, noise).unflatten(0, (-1, draws))
        error = self._mean_over_draws(errors)
        return {"diffusion": -self._reading.factor * error} | self._constant_terms(x)

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Compute minus the mean reading, with fresh noise: in nats per example for the bound.

        The noise levels of a batch are spaced evenly, which lowers the variance of the loss, and
        in random order: the order of the batch must not tell the network an image's level.

        Arguments:
            x: uint8, (N, *domain.shape).
            generator: Generator on the CPU for the noise.
        """
        y = self._scaled(x)
        u = _evenly(len(x), generator)[torch.randperm(len(x), generator=generator)]
        gamma = self._reading.gamma(u).to(y)
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float32).to(y)
        loss = self._reading.factor * self._error(y, gamma, noise)
        return (loss - sum(self._constant_terms(x).values())).mean()

    @torch.no_grad()
    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw samples by removing noise in `SAMPLING_STEPS` steps (Kingma et al., Eq. 34).

        Arguments:
            n: Number of samples.
            generator: Generator on the CPU for the noise.
            temperature: Factor on the noise, in every step.

        Returns:
            uint8, (n, *domain.shape), on the parameters' device.
        """

        def draw() -> Tensor:
            noise = torch.randn(n, *self.domain.shape, generator=generator, dtype=torch.float32)
            return noise.to(self.noise) * temperature

        steps = self._reading.gamma(torch.linspace(1, 0, SAMPLING_STEPS + 1)).to(self.noise)
        z = draw()
        for high, low in pairwise(steps):
            noise = self.denoiser(z, high.expand(n))
            z = _mean(z, noise, high, low) + _spread(high, low) * draw()
        last = steps[-1]
        noise = self.denoiser(z, last.expand(n))
        return self._discrete((z - _sigma(last) * noise) / _alpha(last))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, start: float, steps: int, noise_seed: int) -> Tensor:
        """Add noise up to a level of training, and remove it again, without drawing more.

        z = α y + σ ε̂ from level to level, with y and ε̂ as estimated at the level before
        (Song et al., 2021, Eq. 12 with σ = 0: DDIM)

        Arguments:
            x: uint8, (N, *domain.shape).
            start: Share of the levels to begin at, in (0, 1]; 1 is almost pure noise.
            steps: Number of steps, evenly spaced.
            noise_seed: Seed for the noise, the same for every example.

        Returns:
            Floating, (N, *domain.shape), in grey levels, within their range.
        """
        u = torch.linspace(start, 0, steps + 1)
        levels = self._reading.gamma(u).to(self.noise)
        generator = torch.Generator().manual_seed(noise_seed)
        noise = torch.randn(self.domain.shape, generator=generator, dtype=torch.float32)
        y, estimate = self._scaled(x), noise.to(self.noise)
        for level in levels:
            z = _alpha(level) * y + _sigma(level) * estimate
            estimate = self.denoiser(z, level.expand(len(x)))
            y = (z - _sigma(level) * estimate) / _alpha(level)
        return ((y + 1) * (self.domain.levels / 2) - 0.5).clamp(0, self.domain.levels - 1)

    @property
    def noise_range(self) -> tuple[float, float]:
        """Least and largest noise of training, as standard deviations in grey levels."""
        return noise_range(self.domain, self._reading)

    @torch.no_grad()
    def estimate_noise(self, z: Tensor, sd: float) -> Tensor:
        """Estimate ε, (N, *domain.shape), from z = x + sd ε in grey levels."""
        level = self.noise.new_tensor(2 * math.log(sd * 2 / self.domain.levels))
        return self.denoiser(_alpha(level) * self._scaled(z), level.expand(len(z)))

    def _error(self, y: Tensor, gamma: Tensor, noise: Tensor) -> Tensor:
        """Compute Σ |ε - ε̂|^power, (N,), for y and noise, (N, C, H, W), and gamma, (N,)."""
        z = _alpha(gamma)[:, None, None, None] * y + _sigma(gamma)[:, None, None, None] * noise
        difference = (noise - self.denoiser(z, gamma)).flatten(1)
        return difference.abs().pow(self._reading.power).sum(1)

    def _mean_over_draws(self, errors: Tensor) -> Tensor:
        """Average errors, (N, K), over the draws, (N,), less a control variate for the bound.

        ‖ε_k‖² has the mean D. What it has beyond D moves the error of draw k by about the error's
        share of D. The draws at the next levels tell the share; their noise is independent of ε_k,
        so the expectation stays.
        """
        shares = (errors.roll(1, dims=1) + errors.roll(-1, dims=1)) / (2 * self.domain.dims)
        return (errors - shares * self.excess).mean(1)

    def _constant_terms(self, x: Tensor) -> dict[str, Tensor]:
        """Evaluate the terms without parameters, each (N,), in nats: none but for the bound."""
        if self.likelihood == "unnormalized":
            return {}
        variance = 1 / (1 + math.exp(-gamma_range(self.domain)[1]))
        mean_square = (1 - variance) * self._scaled(x).square()
        prior = 0.5 * (mean_square + variance - math.log(variance) - 1)
        reconstruction = self.reconstruction[x.long()]
        return {
            "prior": -prior.flatten(1).sum(1),
            "reconstruction": -reconstruction.flatten(1).sum(1),
        }

    def _scaled(self, x: Tensor) -> Tensor:
        """Map grey levels to (-1, 1), with the dtype of the noise."""
        return (x.to(self.noise.dtype) + 0.5) * (2 / self.domain.levels) - 1

    def _discrete(self, y: Tensor) -> Tensor:
        """Map (-1, 1) to grey levels, uint8."""
        x = torch.floor((y + 1) * (self.domain.levels / 2))
        return x.clamp(0, self.domain.levels - 1).to(torch.uint8)


def reconstruction_nats(domain: Images, gamma: float) -> Tensor:
    """Integrate -E_ε log p(x | z_0) for each grey level x: float32, (levels,), in nats."""
    s = math.exp(0.5 * gamma)
    y = (2 * torch.arange(domain.levels, dtype=torch.float64) + 1) / domain.levels - 1
    noise = torch.linspace(-8, 8, 1025, dtype=torch.float64)
    weights = torch.exp(-0.5 * noise.square())
    found = []
    for x, level in enumerate(y):
        logits = -0.5 * ((level + s * noise[:, None] - y) / s).square()  # (1025, levels)
        found.append((weights @ -F.log_softmax(logits, dim=1)[:, x]) / weights.sum())
    return torch.stack(found).float()


def _alpha(gamma: Tensor) -> Tensor:
    return torch.sigmoid(-gamma).sqrt()


def _sigma(gamma: Tensor) -> Tensor:
    return torch.sigmoid(gamma).sqrt()


def _mean(z: Tensor, noise: Tensor, high: Tensor, low: Tensor) -> Tensor:
    """Compute the mean of z with noise level `low`, given z with `high` and its noise."""
    removed = -torch.expm1(low - high) * _sigma(high)
    return _alpha(low) / _alpha(high) * (z - removed * noise)


def _spread(high: Tensor, low: Tensor) -> Tensor:
    """Compute the standard deviation of z with noise level `low`, given z with `high`."""
    return torch.sqrt(-torch.expm1(low - high) * torch.sigmoid(low))


def _evenly(n: int, generator: Generator) -> Tensor:
    """Draw n numbers, spaced evenly in [0, 1), from a random start: (k + u) / n."""
    return (torch.arange(n) + torch.rand((), generator=generator)) / n


class UNetDenoiser(nn.Module):
    """Estimate of the noise by a U-Net, through a distribution of each pixel.

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

    def forward(self, z: Tensor, gamma: Tensor) -> Tensor:
        """See `Denoiser`."""
        return self._pixels.noise(self.unet(z, gamma), z, gamma)
