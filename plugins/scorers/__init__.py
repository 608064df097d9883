"""The built-in scorers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from oodbench import Entry, hookimpl

ENTRIES = {
    "log-likelihood": (
        "log_likelihood:LogLikelihood",
        "minus the mean log-probability of the group",
    ),
    "typicality": (
        "typicality:Typicality",
        "distance between the mean log-probabilities of the group and the fit examples",
    ),
    "gradient-gaussian": (
        "gradient_gaussian:GradientGaussian",
        "minus the log-density of the log gradient norms, with a Gaussian per layer",
    ),
    "likelihood-ratio": (
        "likelihood_ratio:LikelihoodRatio",
        "minus the mean log-likelihood ratio to a background model of the suite",
    ),
    "ensemble": (
        "ensemble:Ensemble",
        "combined p-values of several scorers, calibrated on fit groups",
    ),
    "combined-tests": (
        "combined_tests:combined_tests",
        "combined p-values of fisher-diagonal and typicality",
    ),
    "input-complexity": (
        "input_complexity:InputComplexity",
        "bits under the model minus bits under a lossless compressor",
    ),
    "min-k": (
        "min_k:MinK",
        "minus the mean log-probability of the least probable tokens",
    ),
    "mean-intensity": (
        "baselines:MeanIntensityDistance",
        "baseline: distance between the mean pixel values of the group and the fit examples",
    ),
    "total-variation": (
        "baselines:TotalVariationDistance",
        "baseline: distance between the total variations of the group and the fit examples",
    ),
    "png-size": (
        "baselines:PNGSizeDistance",
        "baseline: distance between the PNG sizes of the group and the fit examples",
    ),
    "mean-byte": (
        "baselines:MeanByteDistance",
        "baseline: distance between the mean bytes of the group and the fit examples",
    ),
    "zlib-size": (
        "baselines:ZlibSizeDistance",
        "baseline: distance between the zlib sizes of the group and the fit examples",
    ),
    "waic": (
        "waic:WAIC",
        "variance minus mean of the log-probability over an ensemble of seeds or epochs",
    ),
    "gradient-norm": (
        "gradient_norm:GradientNorm",
        "logarithm of the squared norm of the whole gradient",
    ),
    "gradient-chi2": (
        "gradient_chi2:GradientChi2",
        "minus the log-density of the log gradient norms, with a chi-square fit per layer",
    ),
    "gradient-svm": (
        "gradient_svm:GradientSVM",
        "one-class support vector machine on the log gradient norms of the layers",
    ),
    "gradient-iforest": (
        "gradient_iforest:GradientIForest",
        "isolation forest on the log gradient norms of the layers",
    ),
    "typicality-test": (
        "typicality_test:TypicalityTest",
        "minus the log p-value of the bootstrap test of typicality",
    ),
    "dose": (
        "dose:DoSE",
        "minus the log-density of the log-probability and its terms over the fit examples",
    ),
    "hierarchical-ratio": (
        "hierarchical_ratio:HierarchicalRatio",
        "log-probability under a multi-level flow, relative to the upper levels",
    ),
    "fisher-diagonal": (
        "fisher:FisherDiagonal",
        "norm of the whole gradient in units of a diagonal Fisher information",
    ),
    "fisher-ekfac": (
        "fisher:FisherEkfac",
        "norm of the whole gradient in units of an EKFAC Fisher information",
    ),
    "likelihood-regret": (
        "likelihood_regret:LikelihoodRegret",
        "mean gain in log-probability after a few training steps on each example alone",
    ),
    "ddpm-ood": (
        "ddpm_ood:DDPMOOD",
        "mean z-score of reconstruction errors of a diffusion model",
    ),
    "score-norms": (
        "score_norms:ScoreNorms",
        "minus the log-density of the norms of scores for several levels of noise",
    ),
    "diffusion-path": (
        "diffusion_path:DiffusionPath",
        "minus the log-density of sums along a diffusion model's path to noise",
    ),
    "lid": ("lid:Lid", "low log-probability or small local intrinsic dimension, as p-values"),
    "lid-dimension": (
        "lid:LidDimension",
        "minus the local intrinsic dimension of the model at the group's examples",
    ),
}
"""Target in this package, and summary, by scorer name."""

ADDED: Mapping[str, Mapping[str, Any]] = {
    "log-likelihood": {"statistic": "log_prob"},
    "typicality": {"statistic": "log_prob"},
    "gradient-gaussian": {"formula": "published-code", "constant_layers": "drop"},
    "gradient-chi2": {"degrees_of_freedom": "moments"},
    "ensemble": {"p_values": "rank"},
    "combined-tests": {"p_values": "rank"},
}
"""Options that keys omit at these values, by scorer name: see `Entry.added`."""


@hookimpl
def bench_scorers() -> Iterable[Entry]:
    """Register the built-in scorers."""
    for name, (target, summary) in ENTRIES.items():
        added = ADDED.get(name, {})
        yield Entry(name, f"{__name__}.{target}", summary, version="1", added=added)
