"""Objectives that a diffusion model is trained on, and log-probabilities read from the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from oodbench import Images, Likelihood

Objective: TypeAlias = Literal["bound", "simple", "l1-at-t"]
TIMESTEPS = 1000


class Reading(NamedTuple):
    """A mean over noise levels of an error of the estimated noise.

    Attributes:
        likelihood: Kind of the number -factor E error - (other terms of the bound).
        gamma: Maps u, (K,), uniform in [0, 1), to noise levels log(σ² / α²) in training.
        power: The error of an image is Σ |ε - ε̂|^power.
        factor: Factor on the mean error.
        fixed: The only noise level that is read; None for those of training.
    """

    likelihood: Likelihood
    gamma: Callable[[Tensor], Tensor]
    power: int
    factor: float
    fixed: float | None


def make_reading(objective: Objective, domain: Images, timestep: int) -> Reading:
    """Build the reading with the given name; `timestep`, from 1, is for `l1-at-t`."""
    if objective == "bound":
        low, high = gamma_range(domain)
        return Reading(
            "lower_bound", lambda u: low + (high - low) * u, 2, 0.5 * (high - low), None
        )
    levels = published_levels()

    def gamma(u: Tensor) -> Tensor:
        return levels[(u * TIMESTEPS).long().clamp(max=TIMESTEPS - 1)]

    if objective == "simple":
        return Reading("unnormalized", gamma, 2, 1.0, None)
    return Reading("unnormalized", gamma, 1, 1.0, float(levels[timestep - 1]))


def gamma_range(domain: Images) -> tuple[float, float]:
    """Return γ_0 and γ_1: at γ_0 the noise is a sixth of the distance between two grey levels.

    For 256 levels γ_0 is -13.3, as in the code of Kingma et al. (2021); γ_1 is 5 always.
    """
    return -13.3 + 2 * math.log(256 / domain.levels), 5.0


def noise_range(domain: Images, reading: Reading) -> tuple[float, float]:
    """Return the standard deviations in grey levels of the first and last noise level."""
    gammas = reading.gamma(torch.tensor([0.0, 1.0]))
    low, high = ((0.5 * gammas).exp() * (domain.levels / 2)).tolist()
    return low, high


def published_levels() -> Tensor:
    """Compute the noise levels of Ho et al. (2020), 4: β_t from 1e-4 to 0.02, float32, (1000,)."""
    beta = torch.linspace(1e-4, 0.02, TIMESTEPS, dtype=torch.float64)
    kept = torch.log1p(-beta).cumsum(0)  # log α²
    return (torch.log(-torch.expm1(kept)) - kept).float()
