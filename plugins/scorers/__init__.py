"""The built-in scorers."""

from __future__ import annotations

from collections.abc import Iterable

from harness import Entry, hookimpl


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
