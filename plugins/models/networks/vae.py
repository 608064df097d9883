"""Variational autoencoder: a bound of the log-probability, and convolutional networks for it."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import Generator, Tensor, nn

from oodbench import Images, Likelihood
from plugins.models.networks.pixels import Pixels, scaled

LOG_SDS = -7.0, 3.0
"""Limits for the log standard deviations of the latents, so that no example overflows."""

Bound: TypeAlias = Literal["elbo", "iwae"]


class VAE(nn.Module):
    r"""Latent-variable density p(x) = E_z p(x | z), z ~ N(0, I), bounded from below.

    q(z | x) = N(mean(x), diag sd(x)^2),   z_s = mean(x) + sd(x) eps_s
    elbo: mean_s log p(x | z_s) - KL(q(z | x) || N(0, I))     (Kingma & Welling 2014, Eq. 10)
    iwae: log mean_s [p(x | z_s) N(z_s; 0, I) / q(z_s | x)]   (Burda et al. 2016, Eq. 8)

    `log_prob` takes the same draws eps_1 ... eps_S for every example: the value is deterministic
    and per example, and noise common to all examples does not disturb their order. The
    expectation over the draws is at most log p(x); the value for one bank of draws differs from
    its expectation by noise. Training draws afresh, one z per example.

    Arguments:
        domain: The images.
        encoder: Maps x, floating in [-1, 1], (N, *domain.shape), to (N, 2 Z): means and log
            standard deviations of Z latents.
        decoder: Maps z, (N, Z), to parameters of the pixels, (N, pixels.outputs, H, W).
        pixels: Distribution of the pixels given z.
        latents: Number of latents, Z.
        draws: Number of draws, S.
        noise_seed: Seed for the draws.
        bound: The bound returned by `log_prob`.

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014): https://arxiv.org/abs/1312.6114
        | Importance Weighted Autoencoders (Burda et al., 2016): https://arxiv.org/abs/1509.00519
    """

    likelihood: Likelihood = "lower_bound"
    noise: Tensor

    def __init__(
        self,
        domain: Images,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        pixels: Pixels,
        latents: int,
        draws: int,
        noise_seed: int,
        bound: Bound,
    ) -> None:
        super().__init__()
        self.domain, self._pixels, self._bound = domain, pixels, bound
        self.encoder, self.decoder = encoder, decoder
        generator = torch.Generator().manual_seed(noise_seed)
        noise = torch.randn(draws, latents, generator=generator)
        self.register_buffer("noise", noise, persistent=False)  # (S, Z)

    def log_prob(self, x: Tensor) -> Tensor:
        """Evaluate the bound, floating, (N,), in nats, for uint8 x, (N, *domain.shape)."""
        return torch.stack(list(self.log_prob_terms(x).values())).sum(0)

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """Evaluate the terms in `log_prob(x)`, each floating, (N,), in nats.

        `reconstruction` is the mean of log p(x | z), `divergence` minus the Kullback-Leibler
        divergence; for the bound `iwae`, `weighting` is what the bound adds to both.
        """
        mean, log_sd = self._posterior(x)
        log_likelihood = self._log_likelihood(x, mean, log_sd, self.noise)  # (N, S)
        terms = {
            "reconstruction": log_likelihood.mean(1),
            "divergence": -_divergence(mean, log_sd),
        }
        if self._bound == "iwae":
            bound = _importance_weighted(log_likelihood, mean, log_sd, self.noise)
            terms["weighting"] = bound - terms["reconstruction"] - terms["divergence"]
        return terms

    def estimate_log_prob(self, x: Tensor, draws: int, generator: Generator) -> Tensor:
        """Estimate log p(x) by fresh draws, (N,), in nats: `iwae` with any number of draws."""
        mean, log_sd = self._posterior(x)
        noise = torch.randn(draws, self.noise.shape[1], generator=generator).to(mean)
        log_likelihood = self._log_likelihood(x, mean, log_sd, noise)
        return _importance_weighted(log_likelihood, mean, log_sd, noise)

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Compute minus the mean ELBO, in nats per example, with a fresh draw for each example.

        Arguments:
            x: uint8, (N, *domain.shape).
            generator: Generator on the CPU for the draws.
        """
        mean, log_sd = self._posterior(x)
        noise = torch.randn(mean.shape, generator=generator, dtype=torch.float32).to(mean)
        raw = self._decoded(mean + torch.exp(log_sd) * noise)
        return (_divergence(mean, log_sd) - self._pixels.log_prob(raw, x)).mean()

    @torch.no_grad()
    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw z from the prior, then every pixel given z.

        Arguments:
            n: Number of samples.
            generator: Generator on the CPU for the noise.
            temperature: Factor on z, and on the noise of each pixel.

        Returns:
            uint8, (n, *domain.shape), on the parameters' device.
        """
        z = torch.randn(n, self.noise.shape[1], generator=generator, dtype=torch.float32)
        raw = self._decoded(z.to(self.noise) * temperature)
        return self._pixels.sample(raw, generator, temperature)

    def _posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute means and log standard deviations of the latents, each (N, Z)."""
        raw = self.encoder(scaled(self.domain, x, self.noise.dtype)).to(self.noise.dtype)
        mean, log_sd = raw.chunk(2, dim=1)
        return mean, log_sd.clamp(*LOG_SDS)

    def _decoded(self, z: Tensor) -> Tensor:
        """Compute the parameters of the pixels, (N, outputs, H, W), from z, (N, Z)."""
        raw: Tensor = self.decoder(z)
        return raw.to(z.dtype)

    def _log_likelihood(self, x: Tensor, mean: Tensor, log_sd: Tensor, noise: Tensor) -> Tensor:
        """Evaluate log p(x | z) for all draws, (N, S), with noise (S, Z).

        Rows of the decoder are the draws of the first example, then of the second: layer
        gradients need the rows of an example together.
        """
        z = mean.unsqueeze(1) + torch.exp(log_sd).unsqueeze(1) * noise  # (N, S, Z)
        raw = self._decoded(z.flatten(0, 1))
        rows = x.repeat_interleave(len(noise), dim=0)
        return self._pixels.log_prob(raw, rows).unflatten(0, (-1, len(noise)))


def _divergence(mean: Tensor, log_sd: Tensor) -> Tensor:
    """Compute KL(q || N(0, I)) = 1/2 sum(sd^2 + mean^2 - 1) - sum log sd, nats, (N,)."""
    return 0.5 * ((2 * log_sd).exp() + mean.square() - 1 - 2 * log_sd).sum(1)


def _importance_weighted(
    log_likelihood: Tensor, mean: Tensor, log_sd: Tensor, noise: Tensor
) -> Tensor:
    """Compute the importance-weighted bound, (N,), from log p(x | z), (N, S), and noise (S, Z)."""
    z = mean.unsqueeze(1) + torch.exp(log_sd).unsqueeze(1) * noise  # (N, S, Z)
    log_ratio = 0.5 * (noise.square() - z.square()).sum(2) + log_sd.sum(1, keepdim=True)
    return (log_likelihood + log_ratio).logsumexp(1) - math.log(len(noise))


def conv_encoder(domain: Images, *, width: int, halvings: int, latents: int) -> nn.Sequential:
    """Build an encoder: 3x3 convolutions with stride 2, then a linear layer, (N, 2 latents).

    Each convolution halves height and width, rounded up, and doubles the width.
    """
    layers: list[nn.Module] = []
    channels = domain.channels
    for k in range(halvings):
        layers += [nn.Conv2d(channels, width * 2**k, 3, stride=2, padding=1), nn.ELU()]
        channels = width * 2**k
    height, breadth = halved(domain, halvings)
    linear = nn.Linear(channels * height * breadth, 2 * latents)
    return nn.Sequential(*layers, nn.Flatten(), linear)


def conv_decoder(
    domain: Images, *, width: int, halvings: int, latents: int, outputs: int
) -> nn.Sequential:
    """Build a decoder, the mirror image of `conv_encoder`, (N, outputs, H, W) from (N, latents).

    Transposed convolutions double height and width, less the row or column that was rounded up.
    """
    height, breadth = halved(domain, halvings)
    channels = width * 2 ** max(0, halvings - 1)
    layers: list[nn.Module] = [
        nn.Linear(latents, channels * height * breadth),
        nn.Unflatten(1, (channels, height, breadth)),
        nn.ELU(),
    ]
    for k in reversed(range(halvings)):
        wanted, odd = halved(domain, k), width * 2 ** max(0, k - 1)
        small = halved(domain, k + 1)
        rest = [big - (2 * size - 1) for big, size in zip(wanted, small, strict=True)]
        up = nn.ConvTranspose2d(channels, odd, 3, stride=2, padding=1, output_padding=rest)
        layers += [up, nn.ELU()]
        channels = odd
    return nn.Sequential(*layers, nn.Conv2d(channels, outputs, 1))


def halved(domain: Images, times: int) -> tuple[int, int]:
    """Return height and width after some halvings, each rounded up."""
    return -(-domain.height // 2**times), -(-domain.width // 2**times)
