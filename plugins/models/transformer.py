"""Options for the transformer plugin, without importing torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from oodbench import DensityModel, Tokens


def transformer(
    domain: Tokens,
    *,
    layers: Annotated[int, Field(ge=1)] = 3,
    width: Annotated[int, Field(ge=1)] = 96,
    heads: Annotated[int, Field(ge=1)] = 4,
    head: Literal["separate", "tied"] = "separate",
) -> DensityModel:
    """Causal transformer over bytes or tokens (Vaswani et al., 2017), with an exact likelihood.

    P(x) = Π_t P(x_t | x_1, ..., x_{t-1}). The defaults train on two CPU cores within minutes.

    Arguments:
        domain: The text to model; a model reads windows of exactly this length.
        layers: Number of blocks: attention, then a network with one hidden layer, 4 x `width`.
        width: Length of the vector at each place, a multiple of `heads`.
        heads: Number of attention heads.
        head: Whether the last layer has weights of its own, or is `tied` to the embedding of the
            tokens: then the two are a single layer.

    Returns:
        A model with random weights, drawn from torch's global generator.

    Raises:
        ValueError: `width` is no multiple of `heads`.

    References:
        | Attention Is All You Need (Vaswani et al., 2017): https://arxiv.org/abs/1706.03762
        | Language Models are Unsupervised Multitask Learners (Radford et al., 2019): GPT-2
    """
    from plugins.models.text.transformer import Transformer

    return Transformer(domain, layers=layers, width=width, heads=heads, head=head)
