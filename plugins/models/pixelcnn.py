"""Options for the PixelCNN++ plugin, without importing torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from oodbench import DensityModel, Images


def pixelcnn(
    domain: Images,
    *,
    blocks: Annotated[int, Field(ge=1)] = 5,
    width: Annotated[int, Field(ge=1)] = 32,
    pixels: Literal["logistics", "categorical"] = "logistics",
    components: Annotated[int, Field(ge=1)] = 10,
) -> DensityModel:
    """PixelCNN++ (Salimans et al., 2017): each pixel given the pixels before, an exact likelihood.

    The likelihood belongs to the discrete image, so there is no dequantisation. The defaults train
    on two CPU cores; the authors' network for 3x32x32 images is 160 wide and has 30 blocks.

    Arguments:
        domain: The images to model; any size.
        blocks: Number of gated blocks in each of the two streams.
        width: Number of channels in each stream.
        pixels: Distribution of a pixel: a mixture of discretised logistics, in which a channel
            depends on earlier channels, or a softmax over the grey levels, in which it does not.
        components: Number of logistics in the mixture.

    Returns:
        A model with random weights, drawn from torch's global generator.
    """
    from plugins.models.networks.pixelcnn import PixelCNN
    from plugins.models.networks.pixels import make_pixels

    distribution = make_pixels(pixels, domain, components=components)
    return PixelCNN(domain, pixels=distribution, blocks=blocks, width=width)
