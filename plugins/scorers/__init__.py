"""The built-in scorers."""

from __future__ import annotations

from collections.abc import Iterable

from oodbench import Entry, hookimpl

ENTRIES = {
    "log-likelihood": (
        "log_likelihood:LogLikelihood",
        "minus the mean log-probability of the group",
    ),
    "typicality": (
        "typicality:Typicality",
        "distance of the group's mean log-probability from that of the fit examples",
    ),
    "gradient-gaussian": (
        "gradient_gaussian:GradientGaussian",
        "minus the log-density of the layers' log gradient norms under one Gaussian each",
    ),
    "likelihood-ratio": (
        "likelihood_ratio:LikelihoodRatio",
        "minus the mean log-likelihood ratio to a background model of the suite",
    ),
    "ensemble": (
        "ensemble:Ensemble",
        "p-values of several scorers, calibrated on fit groups and combined",
    ),
    "combined-tests": (
        "combined_tests:combined_tests",
        "fisher-diagonal and typicality, combined by their p-values",
    ),
    "input-complexity": (
        "input_complexity:InputComplexity",
        "bits of the group under the model less those of its PNG files",
    ),
    "mean-intensity": (
        "baselines:MeanIntensityDistance",
        "baseline: distance of the group's mean pixel value from that of the fit examples",
    ),
    "total-variation": (
        "baselines:TotalVariationDistance",
        "baseline: distance of the group's total variation from that of the fit examples",
    ),
    "png-size": (
        "baselines:PNGSizeDistance",
        "baseline: distance of the group's PNG size from that of the fit examples",
    ),
    "waic": (
        "waic:WAIC",
        "variance less mean of the log-probability over an ensemble of seeds or epochs",
    ),
    "gradient-norm": (
        "gradient_norm:GradientNorm",
        "the squared norm of the whole gradient, its logarithm",
    ),
    "gradient-chi2": (
        "gradient_chi2:GradientChi2",
        "minus the log-density of the layers' log gradient norms, the norms being chi-square",
    ),
    "gradient-svm": (
        "gradient_svm:GradientSVM",
        "one-class support vector machine on the layers' log gradient norms",
    ),
    "gradient-iforest": (
        "gradient_iforest:GradientIForest",
        "isolation forest on the layers' log gradient norms",
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
        "log-probability of a multi-level flow against that of its upper levels",
    ),
    "fisher-diagonal": (
        "fisher:FisherDiagonal",
        "gradient in units of a diagonal Fisher information, all layers together",
    ),
    "fisher-ekfac": (
        "fisher:FisherEkfac",
        "gradient in units of an EKFAC Fisher information, all layers together",
    ),
    "likelihood-regret": (
        "likelihood_regret:LikelihoodRegret",
        "mean gain in log-probability from a few steps of training on each example alone",
    ),
    "lid": ("lid:Lid", "low log-probability or small local intrinsic dimension, by p-values"),
    "lid-dimension": (
        "lid:LidDimension",
        "minus the local intrinsic dimension of the model at the group's examples",
    ),
}
"""Target in this package and summary, by name."""


@hookimpl
def bench_scorers() -> Iterable[Entry]:
    """The built-in scorers."""
    for name, (target, summary) in ENTRIES.items():
        yield Entry(name, f"{__name__}.{target}", summary, version="1")
