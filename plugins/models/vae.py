"""Options for the variational autoencoder plugin, without importing torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from oodbench import DensityModel, Images


def vae(
    domain: Images,
    *,
    latents: Annotated[int, Field(ge=1)] = 32,
    width: Annotated[int, Field(ge=1)] = 32,
    halvings: Annotated[int, Field(ge=0, le=6)] = 2,
    decoder: Literal["logistics", "categorical"] = "logistics",
    components: Annotated[int, Field(ge=1)] = 10,
    bound: Literal["elbo", "iwae"] = "elbo",
    draws: Annotated[int, Field(ge=1)] = 16,
    noise_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
) -> DensityModel:
    """Convolutional variational autoencoder (Kingma & Welling, 2014), with a lower bound.

    `log_prob` is the bound for the discrete image, with the same draws of the latents for every
    example; training draws afresh. So the value is a lower bound in expectation over the draws:
    compare two values of `noise_seed` to see how far one bank of draws is from another.

    Arguments:
        domain: The images to model; any size.
        latents: Number of latents.
        width: Channels of the first convolution in the encoder; each further one doubles them.
        halvings: Number of convolutions with stride 2 in the encoder, and of transposed
            convolutions in the decoder; an odd size is rounded up.
        decoder: Distribution of a pixel given the latents: a mixture of discretised logistics, or
            a softmax over the grey levels.
        components: Number of logistics in the mixture.
        bound: `elbo`, or the tighter `iwae`, for scores by likelihood. Prefer `elbo` for gradient
            scores: gradients of the encoder under `iwae` lose their signal with many draws
            (Rainforth et al., 2018). Both are trained in the same way.
        draws: Number of draws of the latents in `log_prob`.
        noise_seed: Seed for the draws in `log_prob`; no other number depends on it.

    Returns:
        A model with random weights, drawn from torch's global generator.
    """
    from plugins.models.networks.pixels import make_pixels
    from plugins.models.networks.vae import VAE, conv_decoder, conv_encoder

    pixels = make_pixels(decoder, domain, components=components)
    return VAE(
        domain,
        encoder=conv_encoder(domain, width=width, halvings=halvings, latents=latents),
        decoder=conv_decoder(
            domain, width=width, halvings=halvings, latents=latents, outputs=pixels.outputs
        ),
        pixels=pixels,
        latents=latents,
        draws=draws,
        noise_seed=noise_seed,
        bound=bound,
    )
