"""Density models for training by `bench`. Importing this package does not import torch."""

from __future__ import annotations

from oodbench import Entry, hookimpl


@hookimpl
def bench_models() -> list[Entry]:
    """Return the built-in models."""
    return [
        Entry(
            name="glow",
            target="plugins.models.glow:glow",
            summary="Convolutional Glow: multi-scale flow of 1x1 convolutions and couplings",
            version="1",
        ),
        Entry(
            name="glow-linear",
            target="plugins.models.glow_linear:glow_linear",
            summary="One-level Glow whose couplings are fully connected, for small images",
            version="1",
        ),
        Entry(
            name="realnvp",
            target="plugins.models.realnvp:realnvp",
            summary="RealNVP: couplings on checkerboards and channels, by residual networks",
            version="1",
        ),
        Entry(
            name="maf",
            target="plugins.models.autoregressive:maf",
            summary="Masked autoregressive flow on the flattened image; needs zuko",
            version="1",
        ),
        Entry(
            name="spline-flow",
            target="plugins.models.autoregressive:spline_flow",
            summary="Autoregressive flow of rational-quadratic splines; needs zuko",
            version="1",
        ),
        Entry(
            name="pixelcnn",
            target="plugins.models.pixelcnn:pixelcnn",
            summary="PixelCNN++: each pixel given the pixels before, with an exact likelihood",
            version="1",
        ),
        Entry(
            name="vae",
            target="plugins.models.vae:vae",
            summary="Convolutional variational autoencoder, scored by a lower bound",
            version="1",
        ),
        Entry(
            name="hvae",
            target="plugins.models.hvae:hvae",
            summary="Hierarchical variational autoencoder, scored by a lower bound of each level",
            version="1",
        ),
        Entry(
            name="diffusion",
            target="plugins.models.diffusion:diffusion",
            summary="Diffusion model: a U-Net removes noise, scored by a lower bound",
            version="2",
        ),
        Entry(
            name="flow-matching",
            target="plugins.models.flow_matching:flow_matching",
            summary="Continuous flow trained by matching velocities, with an estimated density",
            version="1",
        ),
        Entry(
            name="ebm",
            target="plugins.models.ebm:ebm",
            summary="Energy-based model, trained by contrastive divergence; unnormalised",
            version="2",
        ),
        Entry(
            name="bigram",
            target="plugins.models.bigram:bigram",
            summary="Markov chain of text: pairs of neighbouring bytes, counted",
            version="1",
        ),
        Entry(
            name="transformer",
            target="plugins.models.transformer:transformer",
            summary="Causal transformer of text: each byte given the bytes before",
            version="1",
        ),
        Entry(
            name="causal-lm",
            target="plugins.models.causal_lm:causal_lm",
            summary="Causal language model of transformers, from a local folder",
            version="1",
        ),
    ]
