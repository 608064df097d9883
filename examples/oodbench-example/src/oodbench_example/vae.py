"""Density model: a small variational autoencoder, evaluated by a lower bound."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from oodbench import Images, Likelihood

# --8<-- [start:model]
LATENTS = 2
POINTS = 9  # per latent


class SmallVAE(nn.Module):
    """p(x) = ∫ N(z; 0, I) Π_i p(x_i | z) dz over two latents, bounded from below.

    log p(x) >= E_q [log p(x | z)] - KL(q(z | x) ‖ N(0, I)), q normal with diagonal covariance.

    A pixel is logistic around the decoder's mean, integrated over the bin; the lowest and the
    highest value take the tails. The expectation is a Gauss-Hermite quadrature with 9 x 9 points,
    so every call gives the same bound. Training draws a single z per example instead.

    Arguments:
        domain: Shape and bits for an example.
        hidden: Units in the hidden layer, in both encoder and decoder.

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014), Eq. 3
        | https://arxiv.org/abs/1312.6114
    """

    likelihood: Likelihood = "lower_bound"

    def __init__(self, domain: Images, *, hidden: Annotated[int, Field(ge=1)] = 64) -> None:
        super().__init__()
        self.domain = domain
        self.encoder = nn.Sequential(
            nn.Linear(domain.dims, hidden), nn.Tanh(), nn.Linear(hidden, 2 * LATENTS)
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENTS, hidden), nn.Tanh(), nn.Linear(hidden, domain.dims)
        )
        self.log_scale = nn.Parameter(torch.full((domain.dims,), math.log(0.1)))
        points, weights = _quadrature()
        self.register_buffer("points", points)  # (P, 2); buffers follow .to(...)
        self.register_buffer("weights", weights)  # (P,), their sum is 1

    def log_prob(self, x: Tensor) -> Tensor:
        """Compute the bound for each example, in nats, (N,)."""
        return torch.stack(list(self.log_prob_terms(x).values())).sum(0)

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """Compute both terms: the expected log p(x | z) and minus the divergence, (N,) each."""
        mean, log_sd = self._encode(x)
        z = mean.unsqueeze(1) + log_sd.exp().unsqueeze(1) * self.points  # (N, P, 2)
        expected = (self._log_pixels(x.unsqueeze(1), z) * self.weights).sum(1)
        return {"reconstruction": expected, "divergence": -_divergence(mean, log_sd)}

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Estimate minus the bound from a draw of z per example, in nats per example."""
        mean, log_sd = self._encode(x)
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        z = mean + log_sd.exp() * noise
        return (_divergence(mean, log_sd) - self._log_pixels(x, z)).mean()

    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw samples: uint8, (n, *domain.shape); the temperature scales z."""
        with torch.no_grad():
            z = temperature * torch.randn(n, LATENTS, generator=generator).to(self.log_scale)
            u = torch.rand(n, self.domain.dims, generator=generator).clamp(1e-6, 1 - 1e-6)
            y = self.decoder(z) + self.log_scale.exp() * torch.logit(u).to(self.log_scale)
            x = (y * self.domain.levels).round().clamp(0, self.domain.levels - 1)
        return x.to(torch.uint8).view(n, *self.domain.shape)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute mean and log deviation for q, (N, 2) each."""
        y = x.flatten(1).to(self.log_scale.dtype) / self.domain.levels - 0.5
        mean, log_sd = self.encoder(y).to(y.dtype).chunk(2, dim=1)  # float32 under autocast
        return mean, log_sd.clamp(-6, 3)

    # --8<-- [end:model]

    # --8<-- [start:pixels]
    def _log_pixels(self, x: Tensor, z: Tensor) -> Tensor:
        """Compute log p(x | z), in nats, for z (..., 2) and x (..., *domain.shape)."""
        levels = self.domain.levels
        value = x.flatten(-3).to(z.dtype)
        mean, rate = self.decoder(z).to(z.dtype), (-self.log_scale).exp()
        upper = ((value + 0.5) / levels - mean) * rate
        lower = ((value - 0.5) / levels - mean) * rate
        # log(σ(u) - σ(l)) without the difference of two numbers that may both be 1
        width = torch.log(-torch.expm1(-rate / levels))
        pixel = upper + width - softplus(upper) - softplus(lower)
        pixel = torch.where(value == 0, -softplus(-upper), pixel)
        pixel = torch.where(value == levels - 1, -softplus(lower), pixel)
        return pixel.sum(-1)


def _divergence(mean: Tensor, log_sd: Tensor) -> Tensor:
    """Compute KL(q ‖ N(0, I)) = ½ Σ (σ² + μ² - 1 - log σ²), nats, (N,)."""
    return 0.5 * ((2 * log_sd).exp() + mean.square() - 1 - 2 * log_sd).sum(1)


def _quadrature() -> tuple[Tensor, Tensor]:
    """Return points (P, 2), weights (P,) with Σ w f(points) = E f(z) for standard normal z."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(POINTS)
    grid = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, LATENTS)
    product = np.outer(weights, weights).ravel()
    kind = torch.get_default_dtype()
    return torch.tensor(grid, dtype=kind), torch.tensor(product / product.sum(), dtype=kind)
