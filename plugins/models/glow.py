"""Options for the convolutional Glow plugin, without importing torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from oodbench import DensityModel, Images


def glow(
    domain: Images,
    *,
    levels: Annotated[int, Field(ge=1)] = 3,
    steps: Annotated[int, Field(ge=1)] = 32,
    width: Annotated[int, Field(ge=1)] = 512,
) -> DensityModel:
    """Convolutional Glow (Kingma & Dhariwal, 2018), with an exact likelihood.

    The defaults follow arXiv 2502.00820 for 3x32x32 images: 1,353 layers, 44 M parameters.

    Arguments:
        domain: The images to model; height and width must be divisible by 2**levels.
        levels: Number of scales; each halves height and width, and all except the last split off
            half the channels.
        steps: Number of flow steps in each level.
        width: Channels of the two hidden convolutions in each coupling.

    Returns:
        A model with random weights, drawn from torch's global generator.

    Raises:
        DomainError: The height or the width is not divisible by 2**levels.
    """
    from plugins.models.flows.glow import Glow

    return Glow(domain, levels=levels, steps=steps, width=width)
