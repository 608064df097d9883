"""The built-in statistics.

The module of an entry is light: it has the options and their meaning, and imports no torch. What
takes many lines has a folder beside it, which is imported when the statistic is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable

from oodbench import Entry, hookimpl


@hookimpl
def bench_statistics() -> Iterable[Entry]:
    """The built-in statistics."""
    return (
        Entry(
            "log_prob",
            "plugins.statistics.log_prob:LogProb",
            "log-probability of each example, in nats",
            version="1",
        ),
        Entry(
            "log_prob_terms",
            "plugins.statistics.log_prob_terms:LogProbTerms",
            "terms of each example's log-probability, in nats: base density, ladj, by level",
            version="1",
        ),
        Entry(
            "layer_gradient_sq_norms",
            "plugins.statistics.layer_gradient_sq_norms:LayerGradientSqNorms",
            "squared gradient norm of each layer for the summed log-probability of a group",
            version="1",
        ),
        Entry(
            "mean_intensity",
            "plugins.statistics.mean_intensity:MeanIntensity",
            "mean pixel value of each example; reads no model",
            version="1",
        ),
        Entry(
            "total_variation",
            "plugins.statistics.total_variation:TotalVariation",
            "sum of the differences between neighbouring pixels; reads no model",
            version="1",
        ),
        Entry(
            "png_bits",
            "plugins.statistics.png_bits:PNGBits",
            "size of each example as a PNG file, in bits; reads no model",
            version="1",
        ),
        Entry(
            "layer_fisher_diagonal",
            "plugins.statistics.layer_fisher:LayerFisherDiagonal",
            "score statistic of each layer: gradient in units of a diagonal Fisher information",
            version="2",
        ),
        Entry(
            "layer_fisher_ekfac",
            "plugins.statistics.layer_fisher:LayerFisherEkfac",
            "score statistic of each layer: gradient in units of an EKFAC Fisher information",
            version="2",
        ),
        Entry(
            "jacobian_spectrum",
            "plugins.statistics.jacobian_spectrum:JacobianSpectrum",
            "log singular values of a flow's generator at each example",
            version="1",
        ),
        Entry(
            "likelihood_regret",
            "plugins.statistics.likelihood_regret:LikelihoodRegret",
            "gain in log-probability from a few steps of training on the example alone, in nats",
            version="1",
        ),
    )
