"""Options for the fully connected, single-level Glow plugin, without importing torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from oodbench import DensityModel, Images


def glow_linear(
    domain: Images,
    *,
    steps: Annotated[int, Field(ge=1)] = 10,
    width: Annotated[int, Field(ge=1)] = 1000,
    hidden_layers: Annotated[int, Field(ge=0)] = 10,
    shared_steps: bool = True,
    dequantisation: Literal["uniform", "none"] = "uniform",
    ladj_constant: Annotated[float, Field(allow_inf_nan=False)] = 0.0,
) -> DensityModel:
    """Single-level Glow with fully connected couplings (arXiv 2502.00820).

    The defaults follow the paper for 1x28x28 images, with shared weights like in the published
    code: 51 layers, 24 M parameters. The model can be built for any images. The likelihood is
    exact, unless either of the last two options follows the published code: the value named
    log-probability then does not belong to any distribution over images, so bits per dimension
    are not reported.

    Arguments:
        domain: The images to model.
        steps: Number of flow steps.
        width: Units in each hidden layer of the coupling networks.
        hidden_layers: Number of hidden layers, width to width, between the first and the last
            layer in a coupling network.
        shared_steps: Whether all steps share the same weights.
        dequantisation: Noise in training: `uniform` over the bin, or `none`, like in the
            published code. Without noise the density may grow without bound on the 256 possible
            values.
        ladj_constant: Added to the log-determinant for each step; 1 in the published code. The
            constant shifts every log-probability alike, so gradients and AUROC do not change.

    Returns:
        A model with random weights, drawn from torch's global generator.
    """
    from plugins.models.flows.glow_linear import GlowLinear

    return GlowLinear(
        domain,
        steps=steps,
        width=width,
        hidden_layers=hidden_layers,
        shared_steps=shared_steps,
        dequantisation=dequantisation,
        ladj_constant=ladj_constant,
    )
