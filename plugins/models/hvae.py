"""Options for the hierarchical variational autoencoder plugin, without importing torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from oodbench import DensityModel, Images


def hvae(
    domain: Images,
    *,
    layers: Annotated[int, Field(ge=2, le=6)] = 3,
    latents: Annotated[int, Field(ge=1)] = 8,
    width: Annotated[int, Field(ge=1)] = 32,
    decoder: Literal["logistics", "categorical"] = "logistics",
    components: Annotated[int, Field(ge=1)] = 10,
    draws: Annotated[int, Field(ge=1)] = 16,
    noise_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
    free_nats: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0,
    warmup_steps: Annotated[int, Field(ge=0)] = 1000,
) -> DensityModel:
    """Hierarchical variational autoencoder (Havtorn et al., 2021), with a lower bound.

    `log_prob` is the bound for the discrete image, with the same draws of the latents for every
    example, as for `vae`. `log_prob_terms` gives the bounds L>k, in which the k lowest latents are
    drawn from the prior given the upper ones; the scorer `hierarchical-ratio` compares them.

    Arguments:
        domain: The images to model; any size.
        layers: Number of layers of latents; each has half the height and width of the one below.
        latents: Number of channels of each layer of latents.
        width: Number of channels of the features.
        decoder: Distribution of a pixel given the latents: a mixture of discretised logistics, or
            a softmax over the grey levels.
        components: Number of logistics in the mixture.
        draws: Number of draws of the latents in `log_prob`.
        noise_seed: Seed for the draws in `log_prob`; no other number depends on it.
        free_nats: Nats of divergence that each layer of latents has for free in training.
        warmup_steps: Number of training steps in which the weight of the divergence grows to 1.

    Returns:
        A model with random weights, drawn from torch's global generator.

    References:
        https://arxiv.org/abs/2102.08248
    """
    from plugins.models.networks.hvae import HVAE, conv_networks
    from plugins.models.networks.pixels import make_pixels

    pixels = make_pixels(decoder, domain, components=components)
    networks, shapes = conv_networks(
        domain, layers=layers, latents=latents, width=width, outputs=pixels.outputs
    )
    return HVAE(
        domain,
        networks=networks,
        shapes=shapes,
        pixels=pixels,
        draws=draws,
        noise_seed=noise_seed,
        free_nats=free_nats,
        warmup_steps=warmup_steps,
    )
