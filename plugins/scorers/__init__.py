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
    )
