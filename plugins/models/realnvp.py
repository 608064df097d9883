"""Options for the RealNVP plugin, without importing torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from oodbench import DensityModel, Images


def realnvp(
    domain: Images,
    *,
    levels: Annotated[int, Field(ge=1)] = 2,
    couplings: Annotated[int, Field(ge=1)] = 2,
    width: Annotated[int, Field(ge=1)] = 32,
    blocks: Annotated[int, Field(ge=0)] = 1,
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 1e-3,
) -> DensityModel:
    """RealNVP (Dinh et al., 2017), with an exact likelihood.

    The defaults are small enough for two CPU cores: a 28x28 image has 8 couplings.

    Arguments:
        domain: The images to model; height and width must be divisible by 2**levels.
        levels: Number of scales; each halves height and width, and all except the last split off
            half the channels.
        couplings: Number of couplings on checkerboards in each level, and of couplings on halves
            of the channels.
        width: Channels of the hidden convolutions in each coupling.
        blocks: Number of residual blocks in each coupling.
        alpha: Grey levels are scaled to [alpha, 1 - alpha] before the logit. Take 0.05 for
            photographs (Dinh et al., 2017); where many pixels are black, less trains faster.

    Returns:
        A model with random weights, drawn from torch's global generator.

    Raises:
        DomainError: The height or the width is not divisible by 2**levels.

    References:
        https://arxiv.org/abs/1605.08803
    """
    from plugins.models.flows.realnvp import RealNVP

    return RealNVP(
        domain, levels=levels, couplings=couplings, width=width, blocks=blocks, alpha=alpha
    )
