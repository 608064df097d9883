"""The fully connected, one-level Glow as a plugin: its options, without importing torch."""

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
    """One-level Glow with fully connected couplings (arXiv 2502.00820).

    The defaults are those of the paper for 1x28x28 images, with the weights shared as in its
    published code: 51 layers, 24 M parameters. It can be built for any images. Its likelihood is
    exact, unless one of the last two options takes after that code: what it calls log-probability
    is then not that of any distribution over images, so no bits per dimension are reported.

    Arguments:
        domain: The images to model.
        steps: Steps of flow.
        width: Units of each hidden layer of the coupling networks.
        hidden_layers: Hidden layers, width to width, between the first and the last layer of a
            coupling network.
        shared_steps: Whether all the steps share one set of weights.
        dequantisation: Noise in training: `uniform` over the bin, or `none`, as in the published
            code. Without noise the density may grow without bound on the 256 values there are.
        ladj_constant: Added to the log-determinant for each step; 1 in the published code. It
            moves every log-probability alike, so neither gradients nor AUROC depend on it.

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
