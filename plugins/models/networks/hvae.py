"""Hierarchical variational autoencoder: bounds of the log-probability, and its networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from oodbench import Images, Likelihood
from plugins.models.networks.pixels import Pixels, scaled
from plugins.models.networks.vae import LOG_SDS, halved


@dataclass(frozen=True)
class Networks:
    """The networks of a hierarchy; item i belongs to latent z_{i+1}, z_1 next to the image.

    Attributes:
        up: Maps the image, for i = 0, or else features and latent below, joined along the
            channels, to features.
        posterior: Maps features to means and log standard deviations of q.
        down: Maps the latent of the top, or else features from above and latent, joined along the
            channels, to features.
        prior: Maps features from above to means and log standard deviations of p, below the top.
        last: Maps the lowest features to parameters of the pixels, (N, pixels.outputs, H, W).
    """

    up: Sequence[nn.Module]
    posterior: Sequence[nn.Module]
    down: Sequence[nn.Module]
    prior: Sequence[nn.Module]
    last: nn.Module


@dataclass(frozen=True)
class Draws:
    """Draws z of each latent from the encoder, and log q(z) less the constant of a normal.

    Lists run from z_1 to z_L; a row is a draw for an example, the draws of an example together.
    """

    z: list[Tensor]
    log_q: list[Tensor]


class HVAE(nn.Module):
    r"""Density with a hierarchy of latents, p(x) = E p(x | z_1, ..., z_L), bounded from below.

    p(z) = N(z_L; 0, I) prod_{i<L} p(z_i | z_{i+1}, ..., z_L)                 top to bottom
    q(z | x) = q(z_1 | x) prod_{i>1} q(z_i | x, z_1, ..., z_{i-1})            bottom to top
    L>k = E [log p(x | z) + sum_{i>k} log p(z_i | z_{>i}) - log q(z_i | x, z_{<i})]
          z_{>k} from the encoder, then z_k, ..., z_1 from p(z_i | z_{>i})      (Havtorn et al.)

    with normal p and q of diagonal covariance. L>0 is the evidence lower bound, the value of
    `log_prob`. L>k is a bound too, and is low if the lower latents carry what the image shows and
    the upper ones do not tell. To draw z_{>k}, the encoder draws z_1 ... z_k too, which are then
    discarded.

    The expectation is a mean over S draws of the noise, the same for every example, with noise of
    its own for the draws from p: a value is deterministic and per example. The expectation over
    the noise is at most log p(x); the value for one bank of draws differs from it by noise.

    Training draws afresh, one z per example, and minimises

    - log p(x | z) + beta sum_i max(F, mean over the minibatch of log q(z_i) - log p(z_i))

    The *free nats* F per latent keep latents in use (Kingma et al. 2016, Eq. 15), and beta grows
    linearly from 0 to 1 in the warm-up (Sønderby et al. 2016). The number of steps so far is a
    buffer, part of the state, so an interrupted training continues with the same beta.

    Departures from the authors' code: each latent is a feature map, no weight normalisation, free
    nats hold for the minibatch, and bounds are means over draws, without importance weights.

    Arguments:
        domain: The images.
        networks: The networks.
        shapes: Shape of each latent, from z_1 to z_L.
        pixels: Distribution of the pixels given the latents.
        draws: Number of draws, S.
        noise_seed: Seed for the draws.
        free_nats: F, nats for each latent.
        warmup_steps: Number of training steps until beta is 1.

    References:
        | Hierarchical VAEs Know What They Don't Know (Havtorn et al., 2021)
        | https://arxiv.org/abs/2102.08248
        | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934
        | Ladder Variational Autoencoders (Sønderby et al., 2016): https://arxiv.org/abs/1602.02282
    """

    likelihood: Likelihood = "lower_bound"
    steps: Tensor

    def __init__(
        self,
        domain: Images,
        *,
        networks: Networks,
        shapes: Sequence[tuple[int, ...]],
        pixels: Pixels,
        draws: int,
        noise_seed: int,
        free_nats: float,
        warmup_steps: int,
    ) -> None:
        super().__init__()
        self.domain, self._pixels, self._shapes = domain, pixels, shapes
        self._draws, self._free_nats, self._warmup_steps = draws, free_nats, warmup_steps
        self.up, self.posterior = nn.ModuleList(networks.up), nn.ModuleList(networks.posterior)
        self.down, self.prior = nn.ModuleList(networks.down), nn.ModuleList(networks.prior)
        self.last = networks.last
        generator = torch.Generator().manual_seed(noise_seed)
        for name in ("noise", "prior_noise"):
            for i, shape in enumerate(shapes):
                noise = torch.randn(draws, *shape, generator=generator)
                self.register_buffer(f"{name}_{i}", noise, persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def log_prob(self, x: Tensor) -> Tensor:
        """Evaluate L>0, the bound, floating, (N,), in nats, for uint8 x, (N, *domain.shape)."""
        reconstruction, ratios = self._generate(x, self._infer(x, self._bank("noise", len(x))))
        return _mean(reconstruction + sum(ratios), self._draws)

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """Evaluate terms with sum `log_prob(x)` by level, each floating, (N,), in nats.

        `reconstruction.k` and `divergence.k` sum to L>k - L>k+1, at the last level to L>k. So the
        terms of level k and above sum to L>k. `reconstruction.k` is the difference between the
        means of log p(x | z), and `divergence.k` between the sums of log p(z) - log q(z).
        """
        draws = self._infer(x, self._bank("noise", len(x)))
        bounds = [self._generate(x, draws, k) for k in range(len(self._shapes))]
        terms: dict[str, Tensor] = {}
        for name, rows in (
            ("reconstruction", [reconstruction for reconstruction, _ in bounds]),
            ("divergence", [torch.stack(ratios).sum(0) for _, ratios in bounds]),
        ):
            means = [_mean(part, self._draws) for part in rows]
            above = [*means[1:], torch.zeros_like(means[0])]
            for k, (here, upper) in enumerate(zip(means, above, strict=True)):
                terms[f"{name}.{k}"] = here - upper
        return terms

    def estimate_log_prob(self, x: Tensor, draws: int, generator: Generator) -> Tensor:
        """Estimate log p(x) by fresh draws with importance weights, (N,), in nats.

        log mean_s [p(x | z_s) p(z_s) / q(z_s | x)]                (Burda et al. 2016, Eq. 8)
        """
        noise = self._repeated(self._fresh(draws, generator), len(x))
        reconstruction, ratios = self._generate(x, self._infer(x, noise))
        weights = (reconstruction + sum(ratios)).unflatten(0, (len(x), draws))
        return weights.logsumexp(1) - math.log(draws)

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Compute the loss above, in nats per example; in training mode, count a step.

        Arguments:
            x: uint8, (N, *domain.shape).
            generator: Generator on the CPU for the draws.
        """
        reconstruction, ratios = self._generate(x, self._infer(x, self._fresh(len(x), generator)))
        divergences = -torch.stack(ratios).mean(1)  # (L,)
        beta = ((self.steps + 1) / max(self._warmup_steps, 1)).clamp(max=1)
        if self.training:
            self.steps += 1
        return beta * divergences.clamp(min=self._free_nats).sum() - reconstruction.mean()

    @torch.no_grad()
    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw the latents from top to bottom, then every pixel.

        Arguments:
            n: Number of samples.
            generator: Generator on the CPU for the noise.
            temperature: Factor on the noise of each latent and of each pixel.

        Returns:
            uint8, (n, *domain.shape), on the parameters' device.
        """
        noise = [temperature * part for part in self._fresh(n, generator)]
        features = None
        for i in reversed(range(len(self._shapes))):
            mean, log_sd = self._prior(i, features, noise[i])
            z = mean + torch.exp(log_sd) * noise[i]
            features = self._below(i, features, z)
        return self._pixels.sample(self.last(features).to(z.dtype), generator, temperature)

    def _infer(self, x: Tensor, noise: Sequence[Tensor]) -> Draws:
        """Draw z_1, ..., z_L from the encoder, with the noise of all rows, (rows, *shape) each."""
        joined, draws = scaled(self.domain, x, noise[0].dtype), Draws([], [])
        for up, posterior, eps in zip(self.up, self.posterior, noise, strict=True):
            features = up(joined)
            if len(features) != len(eps):  # from here on, several draws of each example
                features = features.repeat_interleave(len(eps) // len(x), dim=0)
            mean, log_sd = _normal(posterior(features).to(eps.dtype))
            draws.z.append(mean + torch.exp(log_sd) * eps)
            draws.log_q.append(-(0.5 * eps.square() + log_sd).flatten(1).sum(1))
            joined = torch.cat((features, draws.z[-1]), dim=1)
        return draws

    def _generate(self, x: Tensor, draws: Draws, k: int = 0) -> tuple[Tensor, list[Tensor]]:
        """Evaluate log p(x | z), (rows,), and log p(z_i) - log q(z_i), (rows,) for each i > k.

        Latents z_1, ..., z_k are drawn from p, in place of the encoder's draws.
        """
        features, ratios = None, []
        for i in reversed(range(len(self._shapes))):
            z = draws.z[i]
            mean, log_sd = self._prior(i, features, z)
            if i < k:
                z = mean + torch.exp(log_sd) * self._bank("prior_noise", len(x))[i]
            else:
                log_p = -(0.5 * ((z - mean) * torch.exp(-log_sd)).square() + log_sd)
                ratios.append(log_p.flatten(1).sum(1) - draws.log_q[i])
            features = self._below(i, features, z)
        rows = x.repeat_interleave(len(z) // max(len(x), 1), dim=0)
        return self._pixels.log_prob(self.last(features).to(z.dtype), rows), ratios

    def _prior(self, i: int, features: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
        """Compute means and log standard deviations of p(z_{i+1}); zeros at the top."""
        if features is None:
            return torch.zeros_like(like), torch.zeros_like(like)
        return _normal(self.prior[i](features).to(like.dtype))

    def _below(self, i: int, features: Tensor | None, z: Tensor) -> Tensor:
        """Compute the features below z_{i+1}."""
        joined = z if features is None else torch.cat((features, z), dim=1)
        below: Tensor = self.down[i](joined)
        return below

    def _bank(self, name: str, n: int) -> list[Tensor]:
        """Return the noise for n examples, from z_1 to z_L, (n S, *shape) each."""
        bank = [self.get_buffer(f"{name}_{i}") for i in range(len(self._shapes))]
        return self._repeated(bank, n)

    def _fresh(self, n: int, generator: Generator) -> list[Tensor]:
        """Draw noise from z_1 to z_L, (n, *shape) each, as the parameters in dtype and device."""
        like = self.get_buffer("noise_0")
        return [torch.randn(n, *shape, generator=generator).to(like) for shape in self._shapes]

    def _repeated(self, noise: Sequence[Tensor], n: int) -> list[Tensor]:
        """Repeat noise for n examples: a row for each example and draw."""
        return [part.repeat(n, *[1] * (part.dim() - 1)) for part in noise]


def _mean(rows: Tensor, draws: int) -> Tensor:
    """Average over the draws of each example, (N,) from (N draws,)."""
    return rows.unflatten(0, (len(rows) // draws, draws)).mean(1)


def _normal(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Split a network's output into means and log standard deviations."""
    mean, log_sd = raw.chunk(2, dim=1)
    return mean, log_sd.clamp(*LOG_SDS)


def conv_networks(
    domain: Images, *, layers: int, latents: int, width: int, outputs: int
) -> tuple[Networks, list[tuple[int, ...]]]:
    """Build convolutional networks; each latent has half the height and width of the one below.

    Returns:
        The networks, and the shape of each latent: (latents, height, width).
    """
    sizes = [halved(domain, times) for times in range(layers + 1)]
    inputs = [domain.channels] + [width + latents] * (layers - 1)
    tops = [width + latents] * (layers - 1) + [latents]
    networks = Networks(
        up=[_down_sampling(channels, width) for channels in inputs],
        posterior=[nn.Conv2d(width, 2 * latents, 1) for _ in range(layers)],
        down=[UpSampling(tops[i], width, sizes[i]) for i in range(layers)],
        prior=[nn.Conv2d(width, 2 * latents, 1) for _ in range(layers - 1)],
        last=nn.Conv2d(width, outputs, 1),
    )
    return networks, [(latents, *size) for size in sizes[1:]]


def _down_sampling(channels: int, width: int) -> nn.Sequential:
    """Halve height and width, rounded up."""
    halving = nn.Conv2d(channels, width, 3, stride=2, padding=1)
    return nn.Sequential(halving, nn.ELU(), nn.Conv2d(width, width, 3, padding=1), nn.ELU())


class UpSampling(nn.Module):
    """Double height and width by a convolution with four outputs per pixel, cut to a size."""

    def __init__(self, channels: int, width: int, size: tuple[int, int]) -> None:
        super().__init__()
        self._size = size
        self.conv = nn.Conv2d(channels, 4 * width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, width, *size)."""
        height, width = self._size
        return F.elu(F.pixel_shuffle(self.conv(x), 2)[..., :height, :width])
