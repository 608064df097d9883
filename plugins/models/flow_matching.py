"""Options for the flow matching plugin, without importing torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from oodbench import DensityModel, Images


def flow_matching(
    domain: Images,
    *,
    width: Annotated[int, Field(ge=1)] = 16,
    halvings: Annotated[int, Field(ge=0, le=6)] = 2,
    heads: Annotated[int, Field(ge=0)] = 0,
    components: Annotated[int, Field(ge=1)] = 3,
    steps: Annotated[int, Field(ge=1)] = 20,
    probes: Annotated[int, Field(ge=1)] = 1,
    noise_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
) -> DensityModel:
    """Continuous flow trained by flow matching (Lipman et al., 2023), with an estimated density.

    Arguments:
        domain: The images to model; any size.
        width: Channels of the U-Net on the largest scale; each halving doubles them.
        halvings: Number of halvings of the image in the U-Net.
        heads: Number of attention heads on the smallest scale; 0 for no attention.
        components: Number of Gaussians in each pixel's distribution before noise was added.
        steps: Number of steps of the solver; training does not depend on it.
        probes: Number of probes for the trace; with as many as dimensions the trace is exact.
        noise_seed: Seed for the probes; no other number depends on it.

    Returns:
        A model with random weights, drawn from torch's global generator.
    """
    from plugins.models.networks.flow_matching import FlowMatching, UNetVelocity

    velocity = UNetVelocity(
        domain, width=width, halvings=halvings, heads=heads, components=components
    )
    return FlowMatching(
        domain, velocity=velocity, steps=steps, probes=probes, noise_seed=noise_seed
    )
