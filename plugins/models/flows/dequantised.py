"""Base class turning a flow on real images into a density for discrete images."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor, nn

from oodbench import Images, Likelihood, fixed_noise
from plugins.models.flows.actnorm import initialising


class DequantisedFlow(nn.Module, ABC):
    r"""A continuous density over real images y, in grey levels, and its use for discrete images x.

    log p(y) = base + ladj - D bits ln 2,   base and ladj at y / 2^bits - 1/2
    log_prob(x) = log p(x + 1/2),   the density in the middle of the bin
    training_loss(x) = -E_u log p(x + u),   u ~ U[0, 1)^D

    A bin has volume 1, so the probability of x is P(x) = E_u p(x + u), and training minimises
    -E_u log p(x + u) >= -log P(x), by Jensen's inequality (Theis et al., 2016). The value in the
    middle of the bin is no probability: if the density peaks there, the sum over all images
    exceeds 1.

    A subclass defines the flow by `transform`, `inverse` and `draw_noise`.

    Arguments:
        domain: The images; y and z are floating, (N, *domain.shape) and (N, domain.dims), with
            the parameters' dtype and on the parameters' device.

    References:
        | A note on the evaluation of generative models (Theis et al., 2016), 3.1
        | https://arxiv.org/abs/1511.01844
    """

    likelihood: Likelihood = "exact"

    def __init__(self, domain: Images) -> None:
        super().__init__()
        self.domain = domain

    @abstractmethod
    def transform(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map y, (N, C, H, W), to z, (N, D), base and ladj, each (N,), in nats."""

    @abstractmethod
    def inverse(self, z: Tensor) -> Tensor:
        """Map z, (N, D), to y, (N, C, H, W)."""

    @abstractmethod
    def draw_noise(self, n: int, generator: Generator) -> Tensor:
        """Draw z, float32, (n, D), on the CPU, from the base density without scales."""

    def log_density(self, y: Tensor) -> Tensor:
        """Evaluate log p for floating y, (N, *domain.shape), in grey levels: (N,), in nats."""
        _, base, ladj = self.transform(self._scaled(y))
        return base + ladj - self._bin_nats

    def log_prob(self, x: Tensor) -> Tensor:
        """Evaluate log p in the middle of the bin of x: floating, (N,), in nats.

        Arguments:
            x: uint8, or floating in grey levels, (N, *domain.shape).
        """
        return self.log_density(self._within(x, 0.5))

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """Evaluate the terms in `log_prob(x)`, each floating, (N,), in nats.

        `base` is the latent density (with all learned means and scales), `ladj` the log absolute
        determinant for the transform from y to the latents, `bins` the constant -D bits ln 2.
        """
        _, base, ladj = self.transform(self._middle(x))
        return {"base": base, "ladj": ladj, "bins": torch.full_like(base, -self._bin_nats)}

    def to_noise(self, x: Tensor) -> Tensor:
        """Map images in grey levels, floating or uint8, (N, C, H, W), to z, floating, (N, D)."""
        return self.transform(self._middle(x))[0]

    def dequantised(self, x: Tensor) -> Tensor:
        """Move uint8 x within the bins by `fixed_noise` u: floating, (N, *domain.shape).

        The result is x + u - 1/2 in grey levels, where a whole number stands for the middle of a
        bin, like in `to_noise`: `log_prob` of the result is the log-density at x + u, and `latent`
        is the latent at x + u.
        """
        noise = torch.from_numpy(fixed_noise(x.cpu().numpy()))
        return self._within(x, noise - 0.5)

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Compute the mean of -log p with noise uniform in the bin, in nats per example.

        Arguments:
            x: uint8, (N, *domain.shape).
            generator: Generator on the CPU for drawing the noise.

        Returns:
            A scalar, including the constant D bits ln 2.
        """
        noise = torch.rand(x.shape, generator=generator, dtype=torch.float32)
        if x.is_cuda:  # from pinned memory the copy waits for the device, not the program
            noise = noise.pin_memory().to(x.device, non_blocking=True)
        return -self.log_density(self._within(x, noise)).mean()

    @torch.no_grad()
    def prepare(self, x: Tensor) -> None:
        """Initialise every ActNorm, in a single forward pass at the bin midpoints.

        A model already initialised (or trained) is initialised afresh: the ActNorms then depend
        on x and the other parameters alone.

        Arguments:
            x: uint8, (N, *domain.shape).
        """
        self.initialise(self._middle(x))

    def initialise(self, y: Tensor) -> None:
        """Initialise every ActNorm from y, (N, C, H, W); each must be applied exactly once."""
        with initialising(self):
            self.transform(y)

    @torch.no_grad()
    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw samples by inverting the flow; values outside the image range are clamped.

        Arguments:
            n: Number of samples.
            generator: Generator on the CPU for the noise, the same for every dtype and device.
            temperature: Factor on the standard deviation of the base density, in every level.

        Returns:
            uint8, (n, *domain.shape), on the parameters' device.
        """
        parameter = next(self.parameters())
        z = self.draw_noise(n, generator).to(parameter.device, parameter.dtype) * temperature
        bins = torch.floor((self.inverse(z) + 0.5) * self.domain.levels)
        return bins.clamp(0, self.domain.levels - 1).to(torch.uint8)

    @property
    def _bin_nats(self) -> float:
        """The bin width in nats: D bits ln 2."""
        return self.domain.dims * self.domain.bits * math.log(2)

    def _within(self, x: Tensor, u: Tensor | float) -> Tensor:
        """Move x to position u in [0, 1) in each bin: floating, in grey levels."""
        dtype = next(self.parameters()).dtype
        u = u.to(x.device, dtype) if isinstance(u, Tensor) else u
        return x.to(dtype) + u

    def _scaled(self, y: Tensor) -> Tensor:
        """Map grey levels to [-1/2, 1/2)."""
        return y / self.domain.levels - 0.5

    def _middle(self, x: Tensor) -> Tensor:
        """Map x, floating or uint8, to the middle of each bin, in [-1/2, 1/2)."""
        return self._scaled(self._within(x, 0.5))
