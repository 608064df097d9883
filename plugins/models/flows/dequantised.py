"""What a flow on the reals needs to be a density of discrete images."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor, nn

from oodbench import Images, Likelihood
from plugins.models.flows.actnorm import initialising


class DequantisedFlow(nn.Module, ABC):
    r"""A continuous density p(y), read as a probability of discrete images x.

    y = (x + u) / 2^bits - 1/2,   u = 1/2 in evaluation, u ~ U[0, 1) in training
    log P(x) = log p(y) - D bits ln 2                  (the density times the volume of the bin)
    log p(y) = base + ladj,   z the noise behind y

    In training, -E_u log P is an upper bound of the negative log-probability of the discrete
    example (Theis et al., 2016). At the middle of the bin log P is the midpoint rule for its
    integral: the sum of P over all images is 1 up to the error of that rule, less what the
    density puts outside the range of the images.

    A subclass says what the flow is: `transform`, `inverse` and `draw_noise`.

    Arguments:
        domain: The images; y and z are floating, (N, *domain.shape) and (N, domain.dims), of the
            dtype and on the device of the parameters.

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
        """z, (N, D), and base and ladj, each (N,), in nats, of y, (N, C, H, W)."""

    @abstractmethod
    def inverse(self, z: Tensor) -> Tensor:
        """y, (N, C, H, W), of z, (N, D)."""

    @abstractmethod
    def draw_noise(self, n: int, generator: Generator) -> Tensor:
        """z, float32, (n, D), on the CPU, from the base density of no scale."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability at the middle of the bin: floating, (N,), in nats, of uint8 x."""
        _, base, ladj = self.transform(self._dequantise(x, 0.5))
        return base + ladj - self._bin_nats

    def log_prob_terms(self, x: Tensor) -> dict[str, Tensor]:
        """The terms of `log_prob(x)`, each floating, (N,), in nats.

        `base` is the density of the latents (with all learned means and scales), `ladj` the log
        absolute determinant of the transform of y into them, `bins` the constant -D bits ln 2.
        """
        _, base, ladj = self.transform(self._dequantise(x, 0.5))
        return {"base": base, "ladj": ladj, "bins": torch.full_like(base, -self._bin_nats)}

    def to_noise(self, x: Tensor) -> Tensor:
        """z, floating, (N, D), of images in grey levels, floating or uint8, (N, C, H, W)."""
        return self.transform(self._dequantise(x, 0.5))[0]

    def training_loss(self, x: Tensor, generator: Generator) -> Tensor:
        """Mean negative log-probability with uniform noise of one bin, in nats per example.

        Arguments:
            x: uint8, (N, *domain.shape).
            generator: On the CPU; draws the noise.

        Returns:
            A scalar; the constant D bits ln 2 is included.
        """
        noise = torch.rand(x.shape, generator=generator, dtype=torch.float32)
        if x.is_cuda:  # from pinned memory the copy waits for the device, not the program
            noise = noise.pin_memory().to(x.device, non_blocking=True)
        _, base, ladj = self.transform(self._dequantise(x, noise))
        return self._bin_nats - (base + ladj).mean()

    @torch.no_grad()
    def prepare(self, x: Tensor) -> None:
        """Initialise every ActNorm, in one forward pass at the middle of the bins.

        On a model that is already initialised (or trained) it initialises again, as if it had
        not been: the ActNorms then depend on x and the other parameters alone.

        Arguments:
            x: uint8, (N, *domain.shape).
        """
        self.initialise(self._dequantise(x, 0.5))

    def initialise(self, y: Tensor) -> None:
        """Initialise every ActNorm from y, (N, C, H, W); each must be applied once."""
        with initialising(self):
            self.transform(y)

    @torch.no_grad()
    def sample(self, n: int, generator: Generator, temperature: float = 1.0) -> Tensor:
        """Draw samples by the inverse of the flow; what falls outside the range is clamped to it.

        Arguments:
            n: How many.
            generator: On the CPU; draws the noise, the same for every dtype and device.
            temperature: Factor on the standard deviation of the base density, of every level.

        Returns:
            uint8, (n, *domain.shape), on the device of the parameters.
        """
        parameter = next(self.parameters())
        z = self.draw_noise(n, generator).to(parameter.device, parameter.dtype) * temperature
        bins = torch.floor((self.inverse(z) + 0.5) * self.domain.levels)
        return bins.clamp(0, self.domain.levels - 1).to(torch.uint8)

    @property
    def _bin_nats(self) -> float:
        """Nats that the width of the bins takes: D bits ln 2."""
        return self.domain.dims * self.domain.bits * math.log(2)

    def _dequantise(self, x: Tensor, u: Tensor | float) -> Tensor:
        """The floating (N, C, H, W) in [-1/2, 1/2) at the place u in [0, 1) of each bin."""
        dtype = next(self.parameters()).dtype
        u = u.to(x.device, dtype) if isinstance(u, Tensor) else u
        return (x.to(dtype) + u) / self.domain.levels - 0.5
