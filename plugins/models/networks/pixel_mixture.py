"""Removing noise from each pixel as if a mixture of Gaussians were the pixel's distribution."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from oodbench import Images

HARMONICS = 6
"""Terms of the Fourier series of the grey levels: exact to 1e-8 for noise above a sixth of the
distance between two levels."""


class Components(NamedTuple):
    """Components of each pixel's mixture, each (N, C, J, H, W)."""

    logits: Tensor
    means: Tensor
    variances: Tensor


class PixelMixture:
    r"""Distribution of a pixel, given the outputs of a network, before noise was added.

    p(y) = w_lowest δ(y - lowest) + w_highest δ(y - highest) + Σ_j w_j N(y; m_j, s_j²)

    A network that removes noise has to know how precise its guess is: a black pixel among black
    pixels is known to a fraction of a grey level, a pixel on an edge is not. So the network
    computes weights, means and deviations, and the noise follows from the posterior given the
    pixel itself. The lowest and the highest level, where images are saturated, have weights of
    their own, as in PixelCNN++. Noise of any level is then removed by numbers of order 1.

    The raw channels are, for each channel of the image: logits (J + 2), means (J), log standard
    deviations (J).

    Arguments:
        domain: The images. Grey level x is y = 2 (x + 1/2) / levels - 1, in (-1, 1).
        components: Number of Gaussians, J.
    """

    def __init__(self, domain: Images, *, components: int) -> None:
        self._channels, self._components = domain.channels, components
        self.width = 2 / domain.levels
        """Distance between two grey levels."""
        self.outputs = domain.channels * (3 * components + 2)
        self._log_sds = math.log(self.width), 2.0  # limits: an example cannot overflow

    def components(self, raw: Tensor, edge_variance: float) -> Components:
        """Take the mixtures from raw, (N, outputs, H, W): the two edges, then the Gaussians.

        Arguments:
            raw: Outputs of the network.
            edge_variance: Variance of the lowest and the highest grey level.
        """
        logits, means, log_sds = self._split(raw.unflatten(1, (self._channels, -1)))
        # At the start of training, Gaussians side by side cover the range of the grey levels.
        start = (2 * torch.arange(self._components, device=raw.device) + 1) / self._components - 1
        means = means + start.to(raw.dtype)[:, None, None]
        log_sds = (log_sds - math.log(self._components)).clamp(*self._log_sds)
        edges = means.new_tensor((self.width / 2 - 1, 1 - self.width / 2))[:, None, None]
        shape = (*means.shape[:2], 2, *means.shape[3:])
        return Components(
            logits,
            torch.cat((edges.expand(shape), means), dim=2),
            torch.cat((means.new_tensor(edge_variance).expand(shape), (2 * log_sds).exp()), dim=2),
        )

    def noise(self, raw: Tensor, z: Tensor, gamma: Tensor) -> Tensor:
        r"""Estimate the noise in z = α y + σ ε, where y is one of the grey levels.

        E[ε | z] = Σ_j r_j s (z/α - m_j) / (s_j² + s²) + (1 - r_edges) lattice,   s = σ / α

        with the posterior weights r_j, and for all except the edges the noise that would be found
        if every grey level were as probable: see `lattice`.

        Arguments:
            raw: Outputs of the network for z, (N, outputs, H, W).
            z: (N, C, H, W), where α² + σ² = 1.
            gamma: log(σ² / α²), (N,).

        Returns:
            (N, C, H, W).
        """
        s = torch.exp(0.5 * gamma)[:, None, None, None]
        y = z * torch.sqrt(1 + s.square())
        log_density, estimate = lattice(y, s, self.width)
        logits, means, variances = self.components(raw, 0.0)
        variances = variances + s.square().unsqueeze(2)
        distances = y.unsqueeze(2) - means
        logits = logits - 0.5 * (variances.log() + distances.square() / variances)
        logits = torch.cat((logits[:, :, :2], logits[:, :, 2:] + log_density.unsqueeze(2)), dim=2)
        weights = logits.softmax(2)
        found = (weights * distances / variances).sum(2) * s
        return found + (1 - weights[:, :, :2].sum(2)) * estimate

    def velocity(self, raw: Tensor, x: Tensor, t: Tensor) -> Tensor:
        r"""Estimate y - ε from x = t y + (1 - t) ε, where y is real and ε ~ N(0, I).

        E[y - ε | x] = Σ_j r_j (m_j + (t s_j² - (1 - t)) (x - t m_j) / (t² s_j² + (1 - t)²))

        with the posterior weights r_j. A saturated pixel is uniform in its bin, and has the
        variance of that: width² / 12.

        Arguments:
            raw: Outputs of the network for x, (N, outputs, H, W).
            x: (N, C, H, W).
            t: (N,), from 0, noise, to 1.

        Returns:
            (N, C, H, W).
        """
        t = t[:, None, None, None, None]
        logits, means, variances = self.components(raw, self.width**2 / 12)
        distances = x.unsqueeze(2) - t * means
        spread = t.square() * variances + (1 - t).square()
        weights = (logits - 0.5 * (spread.log() + distances.square() / spread)).softmax(2)
        velocities = means + (t * variances - (1 - t)) * distances / spread
        return (weights * velocities).sum(2)

    def velocity_along(
        self, raw: Tensor, x: Tensor, t: Tensor, raw_slopes: Tensor, directions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Estimate the velocity, and its derivative if raw and x change, in P directions.

        Arguments:
            raw: As for `velocity`.
            x: As for `velocity`.
            t: As for `velocity`.
            raw_slopes: Derivatives of raw, (N, P, outputs, H, W).
            directions: Derivatives of x, (N, P, C, H, W).

        Returns:
            (N, C, H, W) and (N, P, C, H, W).
        """
        t = t[:, None, None, None, None, None]
        parts = (part.unsqueeze(1) for part in self.components(raw, self.width**2 / 12))
        logits, means, variances = parts  # (N, 1, C, J, H, W)
        d_logits, d_means, d_variances = self._slopes(raw, variances, raw_slopes)
        spread = t.square() * variances + (1 - t).square()
        distances = (x.unsqueeze(2).unsqueeze(1) - t * means) / spread  # over the spread
        d_distances = directions.unsqueeze(3) - t * d_means
        squares = distances.square() * spread
        weights = (logits - 0.5 * (spread.log() + squares)).softmax(3)
        share = t * d_variances
        gain = t * variances - (1 - t)
        velocities = means + gain * distances
        velocity = (weights * velocities).sum(3, keepdim=True)
        d_logits = d_logits - distances * d_distances - 0.5 * t * share * (1 - squares) / spread
        d_velocities = d_means + gain * d_distances / spread
        d_velocities = d_velocities + (1 - t * gain / spread) * share * distances
        changes = d_velocities + d_logits * (velocities - velocity)
        return velocity[:, 0, :, 0], (weights * changes).sum(3)

    def _slopes(self, raw: Tensor, variances: Tensor, raw_slopes: Tensor) -> Components:
        """Compute derivatives of `components`, each (N, P, C, J, H, W), from those of raw."""
        *_, log_sds = self._split(raw.unflatten(1, (self._channels, -1)))
        parts = self._split(raw_slopes.unflatten(2, (self._channels, -1)))
        d_logits, d_means, d_log_sds = parts
        low, high = self._log_sds
        log_sds = (log_sds - math.log(self._components)).unsqueeze(1)
        d_log_sds = d_log_sds * ((log_sds >= low) & (log_sds <= high))
        edges = (0, 0, 0, 0, 2, 0)  # which stay where they are
        return Components(d_logits, F.pad(d_means, edges), F.pad(2 * d_log_sds, edges) * variances)

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split (..., C, outputs / C, H, W) into logits, means and log standard deviations."""
        sizes = (self._components + 2, self._components, self._components)
        logits, means, log_sds = raw.contiguous().split(sizes, dim=-3)
        return logits, means, log_sds


def lattice(y: Tensor, s: Tensor, width: float) -> tuple[Tensor, Tensor]:
    r"""Compute log density and estimated noise of y, if all grey levels are equally probable.

    p(y) = Σ_k width N(y; k width, s²) = 1 + 2 Σ_n q_n cos(2 π n y / width)
    E[ε | y] = -s p'(y) / p(y),   q_n = exp(-2 π² n² s² / width²)       (Poisson summation)

    with levels at (k + 1/2) width. With much noise, p is 1 and the noise is unknown: 0.

    Arguments:
        y: Grey level plus noise with standard deviation s, (N, C, H, W).
        s: (N, 1, 1, 1), above width / 6.
        width: Distance between two grey levels.

    Returns:
        log p and E[ε | y], each with the shape of y.
    """
    angle = (2 * math.pi / width) * (y - width / 2)
    rate = (2 * math.pi / width) * s
    density, slope = torch.ones_like(y), torch.zeros_like(y)
    for n in range(1, HARMONICS + 1):
        q = torch.exp(-0.5 * (n * rate).square())
        density = density + 2 * q * torch.cos(n * angle)
        slope = slope + 2 * n * q * torch.sin(n * angle)
    return density.log(), rate * slope / density
