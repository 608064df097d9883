"""Energy-based model: an unnormalised log-probability, trained against Langevin chains."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from oodbench import Images, Likelihood
from plugins.models.networks.pixels import scaled
from plugins.models.networks.vae import halved


@dataclass(frozen=True)
class Langevin:
    """A Langevin step, in units of images in [-1, 1].

    y <- clamp(y - size * clamp(dE/dy, -largest, largest) + noise * N(0, I), -1, 1)

    Attributes:
        size: Factor on the gradient of the energy.
        largest: Limit for each entry of the gradient.
        noise: Standard deviation of the noise.
    """

    size: float
    largest: float
    noise: float


class EBM(nn.Module):
    r"""Unnormalised density, log p(x) = -E(x) - log Z, with E a network and Z unknown.

    `log_prob` is -E(x). Its gradient in the parameters is not the score of the density: it lacks
    the gradient of log Z, minus the model's mean of dE/dtheta.

    Training minimises

    mean E(x) - mean E(x') + alpha (mean E(x)^2 + mean E(x')^2)

    over a minibatch x and as many ends x' of Langevin chains, by persistent contrastive divergence
    (Tieleman 2008; Du & Mordatch 2019): a step continues some of the chains, which are a buffer of
    the model, by a few Langevin steps, and puts their ends back. A part of them starts again at
    images without structure, which take each number from a random image of the minibatch. The
    second term keeps energies near 0, because the first one does not depend on a constant in E.
    The chains are part of the state, so an interrupted training continues with the same chains,
    and a stored model can continue them to draw samples.

    Departures from the paper: ends of chains are rounded to grey levels, so that chains can be
    told from images by what they show alone; chains start again with the right distribution of
    each pixel, in place of uniform noise; and the network has no spectral norm.

    Arguments:
        domain: The images.
        energy: Maps x, floating in [-1, 1], (N, *domain.shape), to (N, 1).
        chains: Number of chains.
        langevin: The Langevin step.
        steps: Number of Langevin steps of each training step.
        sampling_steps: Number of Langevin steps of a sample, continuing a chain.
        restart: Probability that a chain starts again.
        regularisation: alpha.

    References:
        | Implicit Generation and Modeling with Energy-Based Models (Du & Mordatch, 2019)
        | https://arxiv.org/abs/1903.08689
        | Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient
          (Tieleman, 2008)
    """

    likelihood: Likelihood = "unnormalized"
    chains: Tensor

    def __init__(
        self,
        domain: Images,
        *,
        energy: nn.Module,
        chains: int,
        langevin: Langevin,
        steps: int,
        sampling_steps: int,
        restart: float,
        regularisation: float,
    ) -> None:
        super().__init__()
        self.domain, self.energy = domain, energy
        self._langevin, self._steps, self._sampling_steps = langevin, steps, sampling_steps
        self._restart, self._regularisation = restart, regularisation
        start = torch.randint(domain.levels, (chains, *domain.shape), dtype=torch.uint8)
        self.register_buffer("chains", start)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return -E(x), floating, (N,), nats up to a constant, for uint8 x, (N, *shape)."""
        return -self._energies(scaled(self.domain, x, self._dtype))

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Compute the loss above, in nats per example; in training mode, continue the chains.

        Arguments:
            x: uint8, (N, *domain.shape).
            generator: Generator on the CPU for the chains.
        """
        chosen = torch.randperm(len(self.chains), generator=generator)[: len(x)]
        sources = torch.randint(len(x), (len(chosen), *self.domain.shape), generator=generator)
        fresh = x.gather(0, sources.to(x.device))
        restarts = torch.rand(len(chosen), generator=generator) < self._restart
        chosen, restarts = chosen.to(x.device), restarts.to(x.device)
        start = torch.where(restarts.reshape(-1, 1, 1, 1), fresh, self.chains[chosen])
        ends = self._continued(start, self._steps, generator, temperature=1.0)
        if self.training:
            self.chains[chosen] = ends
        energies, others = -self.log_prob(x), -self.log_prob(ends)
        squares = energies.square().mean() + others.square().mean()
        return energies.mean() - others.mean() + self._regularisation * squares

    @torch.no_grad()
    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Continue n of the chains, chosen at random; the chains themselves stay as they are.

        Arguments:
            n: Number of samples; beyond the number of chains, some chains serve again.
            generator: Generator on the CPU for choice and noise.
            temperature: Factor on the noise of each Langevin step.

        Returns:
            uint8, (n, *domain.shape), on the parameters' device.
        """
        turns = -(-n // len(self.chains))
        orders = [torch.randperm(len(self.chains), generator=generator) for _ in range(turns)]
        chosen = torch.cat([torch.empty(0, dtype=torch.int64), *orders])[:n]
        start = self.chains[chosen.to(self.chains.device)]
        return self._continued(start, self._sampling_steps, generator, temperature)

    def _energies(self, y: Tensor) -> Tensor:
        """Evaluate E, (N,), for y in [-1, 1], (N, *shape)."""
        energies: Tensor = self.energy(y).to(y.dtype).squeeze(1)
        return energies

    def _continued(
        self, x: Tensor, steps: int, generator: Generator, temperature: float
    ) -> Tensor:
        """Run Langevin chains from x, uint8, (n, *shape); return their ends, uint8."""
        step, y = self._langevin, scaled(self.domain, x, self._dtype)
        for _ in range(steps):
            with torch.enable_grad():
                y = y.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(self._energies(y).sum(), y)
            noise = torch.randn(y.shape, generator=generator).to(y) * (step.noise * temperature)
            moved = y.detach() - step.size * gradient.clamp(-step.largest, step.largest) + noise
            y = moved.clamp(-1, 1)
        return torch.round((y.detach() + 1) * ((self.domain.levels - 1) / 2)).to(torch.uint8)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


def conv_energy(domain: Images, *, width: int, halvings: int) -> nn.Sequential:
    """Build an energy, (N, 1): 3x3 convolutions with stride 2, then a linear layer.

    Each convolution halves height and width, rounded up, and doubles the width. Activations are
    SiLU, so the energy is smooth in the image.
    """
    layers: list[nn.Module] = []
    channels = domain.channels
    for k in range(halvings):
        layers += [nn.Conv2d(channels, width * 2**k, 3, stride=2, padding=1), nn.SiLU()]
        channels = width * 2**k
    height, breadth = halved(domain, halvings)
    linear = nn.Linear(channels * height * breadth, 1)
    return nn.Sequential(*layers, nn.Flatten(), linear)
