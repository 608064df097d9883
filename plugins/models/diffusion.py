"""Options for the diffusion model plugin, without importing torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from oodbench import DensityModel, Images


def diffusion(
    domain: Images,
    *,
    width: Annotated[int, Field(ge=1)] = 16,
    halvings: Annotated[int, Field(ge=0, le=6)] = 2,
    heads: Annotated[int, Field(ge=0)] = 0,
    components: Annotated[int, Field(ge=1)] = 3,
    objective: Literal["bound", "simple", "l1-at-t"] = "bound",
    timestep: Annotated[int, Field(ge=1, le=1000)] = 1,
    draws: Annotated[int, Field(ge=1)] = 16,
    noise_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
) -> DensityModel:
    """Diffusion model (Kingma et al., 2021), with a lower bound.

    `log_prob` is the bound for the discrete image, with the same draws of noise for every
    example; training draws afresh. So the value is a lower bound in expectation over the draws:
    compare two values of `noise_seed` to see how far one bank of draws is from another.

    Arguments:
        domain: The images to model; any size.
        width: Channels of the U-Net on the largest scale; each halving doubles them.
        halvings: Number of halvings of the image in the U-Net.
        heads: Number of attention heads on the smallest scale; 0 for no attention.
        components: Number of Gaussians in each pixel's distribution before noise was added.
        objective: What is trained and read. `bound`: the bound. `simple`: minus the squared error
            of the estimated noise, over 1,000 noise levels, as by Ho et al. (2020). `l1-at-t`:
            trained like `simple` but with the absolute error, and read at a single noise level,
            as by Dauncey et al. (2024). The last two are no likelihoods.
        timestep: Noise level that `l1-at-t` reads, of 1,000; 1 has the least noise.
        draws: Number of draws of the noise in `log_prob`.
        noise_seed: Seed for the draws in `log_prob`; no other number depends on it.

    Returns:
        A model with random weights, drawn from torch's global generator.
    """
    from plugins.models.networks.diffusion import Diffusion, UNetDenoiser
    from plugins.models.networks.readings import make_reading

    denoiser = UNetDenoiser(
        domain, width=width, halvings=halvings, heads=heads, components=components
    )
    return Diffusion(
        domain,
        denoiser=denoiser,
        reading=make_reading(objective, domain, timestep),
        draws=draws,
        noise_seed=noise_seed,
    )
