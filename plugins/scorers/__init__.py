"""The built-in scorers."""

from __future__ import annotations

from collections.abc import Iterable

from oodbench import Entry, hookimpl


@hookimpl
def bench_scorers() -> Iterable[Entry]:
    """The built-in scorers."""
    return (
        Entry(
            "log-likelihood",
            "plugins.scorers.log_likelihood:LogLikelihood",
            "minus the mean log-probability of the group",
            version="1",
        ),
        Entry(
            "typicality",
            "plugins.scorers.typicality:Typicality",
            "distance of the group's mean log-probability from that of the fit examples",
            version="1",
        ),
        Entry(
            "gradient-gaussian",
            "plugins.scorers.gradient_gaussian:GradientGaussian",
            "minus the log-density of the layers' log gradient norms under one Gaussian each",
            version="1",
        ),
        Entry(
            "likelihood-ratio",
            "plugins.scorers.likelihood_ratio:LikelihoodRatio",
            "minus the mean log-likelihood ratio to a background model of the suite",
            version="1",
        ),
        Entry(
            "ensemble",
            "plugins.scorers.ensemble:Ensemble",
            "p-values of several scorers, calibrated on fit groups and combined",
            version="1",
        ),
        Entry(
            "combined-tests",
            "plugins.scorers.combined_tests:combined_tests",
            "fisher-diagonal and typicality, combined by their p-values",
            version="1",
        ),
        Entry(
            "input-complexity",
            "plugins.scorers.input_complexity:InputComplexity",
            "bits of the group under the model less those of its PNG files",
            version="1",
        ),
        Entry(
            "mean-intensity",
            "plugins.scorers.baselines:MeanIntensityDistance",
            "baseline: distance of the group's mean pixel value from that of the fit examples",
            version="1",
        ),
        Entry(
            "total-variation",
            "plugins.scorers.baselines:TotalVariationDistance",
            "baseline: distance of the group's total variation from that of the fit examples",
            version="1",
        ),
        Entry(
            "png-size",
            "plugins.scorers.baselines:PNGSizeDistance",
            "baseline: distance of the group's PNG size from that of the fit examples",
            version="1",
        ),
        Entry(
            "waic",
            "plugins.scorers.waic:WAIC",
            "variance less mean of the log-probability over an ensemble of seeds or epochs",
            version="1",
        ),
        Entry(
            "gradient-norm",
            "plugins.scorers.gradient_norm:GradientNorm",
            "the squared norm of the whole gradient, its logarithm",
            version="1",
        ),
        Entry(
            "gradient-chi2",
            "plugins.scorers.gradient_chi2:GradientChi2",
            "minus the log-density of the layers' log gradient norms, the norms being chi-square",
            version="1",
        ),
        Entry(
            "gradient-svm",
            "plugins.scorers.gradient_svm:GradientSVM",
            "one-class support vector machine on the layers' log gradient norms",
            version="1",
        ),
        Entry(
            "gradient-iforest",
            "plugins.scorers.gradient_iforest:GradientIForest",
            "isolation forest on the layers' log gradient norms",
            version="1",
        ),
        Entry(
            "typicality-test",
            "plugins.scorers.typicality_test:TypicalityTest",
            "minus the log p-value of the bootstrap test of typicality",
            version="1",
        ),
        Entry(
            "dose",
            "plugins.scorers.dose:DoSE",
            "minus the log-density of the log-probability and its terms over the fit examples",
            version="1",
        ),
        Entry(
            "hierarchical-ratio",
            "plugins.scorers.hierarchical_ratio:HierarchicalRatio",
            "log-probability of a multi-level flow against that of its upper levels",
            version="1",
        ),
        Entry(
            "fisher-diagonal",
            "plugins.scorers.fisher:FisherDiagonal",
            "gradient in units of a diagonal Fisher information, all layers together",
            version="1",
        ),
        Entry(
            "fisher-ekfac",
            "plugins.scorers.fisher:FisherEkfac",
            "gradient in units of an EKFAC Fisher information, all layers together",
            version="1",
        ),
        Entry(
            "likelihood-regret",
            "plugins.scorers.likelihood_regret:LikelihoodRegret",
            "mean gain in log-probability from a few steps of training on each example alone",
            version="1",
        ),
        Entry(
            "lid",
            "plugins.scorers.lid:Lid",
            "low log-probability or small local intrinsic dimension, by p-values",
            version="1",
        ),
        Entry(
            "lid-dimension",
            "plugins.scorers.lid:LidDimension",
            "minus the local intrinsic dimension of the model at the group's examples",
            version="1",
        ),
    )
