"""Built-in statistics.

The module behind an entry is light: it documents the options and does not import torch. Longer
computations are in a folder next to the module, imported when the statistic is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from oodbench import Entry, hookimpl

ENTRIES = {
    "log_prob": ("log_prob:LogProb", "log-probability of each example, in nats"),
    "dequantised_log_prob": (
        "dequantised_log_prob:DequantisedLogProb",
        "log-density of each example with fixed noise, in nats: for bits per dimension",
    ),
    "gamma_log_density": (
        "gamma_log_density:GammaLogDensity",
        "log-density of each example after a gamma curve, under the same distribution, in nats",
    ),
    "log_prob_terms": (
        "log_prob_terms:LogProbTerms",
        "terms of each example's log-probability, in nats: base density, ladj, by level",
    ),
    "log_prob_tokens": (
        "log_prob_tokens:LogProbTokens",
        "log-probability of each token of a text given those before, in nats",
    ),
    "layer_gradient_sq_norms": (
        "layer_gradient_sq_norms:LayerGradientSqNorms",
        "squared gradient norm of each layer for the summed log-probability of a group",
    ),
    "mean_intensity": (
        "image_statistics:MeanIntensity",
        "mean pixel value of each example; reads no model",
    ),
    "total_variation": (
        "image_statistics:TotalVariation",
        "sum of the differences between neighbouring pixels; reads no model",
    ),
    "png_bits": (
        "image_statistics:PNGBits",
        "size of each example as a PNG file, in bits; reads no model",
    ),
    "mean_byte": (
        "text_statistics:MeanByte",
        "mean byte of each window of text; reads no model",
    ),
    "zlib_bits": (
        "text_statistics:ZlibBits",
        "size of each window of text compressed by zlib, in bits; reads no model",
    ),
    "compressed_bits": (
        "compressed_bits:CompressedBits",
        "size of each example under a lossless compressor, in bits; reads no model",
    ),
    "centred_gradient_sq_norms": (
        "centred_gradients:CentredLayerGradientSqNorms",
        "the same norms of gradients less their mean over the fit examples: for energies",
    ),
    "layer_fisher_diagonal": (
        "layer_fisher:LayerFisherDiagonal",
        "score statistic of each layer: gradient in units of a diagonal Fisher information",
    ),
    "layer_fisher_ekfac": (
        "layer_fisher:LayerFisherEkfac",
        "score statistic of each layer: gradient in units of an EKFAC Fisher information",
    ),
    "layer_fisher_kfac": (
        "layer_fisher:LayerFisherKfac",
        "score statistic of each layer: gradient in units of a Kronecker-factored Fisher "
        "information",
    ),
    "layer_sizes": (
        "layer_sizes:LayerSizes",
        "number of elements in each layer",
    ),
    "jacobian_spectrum": (
        "jacobian_spectrum:JacobianSpectrum",
        "log singular values of a flow's generator at each example",
    ),
    "likelihood_regret": (
        "likelihood_regret:LikelihoodRegret",
        "gain in log-probability from a few steps of training on the example alone, in nats",
    ),
    "reconstruction_error": (
        "reconstruction_error:ReconstructionError",
        "error of each example's reconstruction by a diffusion model, from several noise levels",
    ),
    "score_norms": (
        "score_norms:ScoreNorms",
        "norms of the scores at each example, for images with several levels of noise",
    ),
    "diffusion_path": (
        "diffusion_path:DiffusionPath",
        "sums of powers of the noise, and of its rate of change, on the path to noise",
    ),
}
"""Target in this package and summary, by entry name."""

VERSIONS = {"layer_fisher_diagonal": "2", "layer_fisher_ekfac": "2"}
"""Versions other than 1, by entry name."""

ADDED: Mapping[str, Mapping[str, Any]] = {
    "log_prob": {"noise": "none"},
    "layer_gradient_sq_norms": {"noise": "none"},
    "layer_fisher_diagonal": {"damping_unit": "relative"},
    "layer_fisher_ekfac": {"damping_unit": "relative"},
}
"""Options that keys omit at these values, by entry name: see `Entry.added`."""


@hookimpl
def bench_statistics() -> Iterable[Entry]:
    """The built-in statistics."""
    for name, (target, summary) in ENTRIES.items():
        version, added = VERSIONS.get(name, "1"), ADDED.get(name, {})
        yield Entry(name, f"{__name__}.{target}", summary, version=version, added=added)
