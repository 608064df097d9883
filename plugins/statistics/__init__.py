"""The built-in statistics."""

from __future__ import annotations

from collections.abc import Iterable

from harness import Entry, hookimpl


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
            "layer_gradient_sq_norms",
            "plugins.statistics.layer_gradient_sq_norms:LayerGradientSqNorms",
            "squared gradient norm of each layer for the summed log-probability of a group",
            version="1",
        ),
        Entry(
            "layer_fisher_diagonal",
            "plugins.statistics.layer_fisher:LayerFisherDiagonal",
            "score statistic of each layer: gradient in units of a diagonal Fisher information",
            version="1",
        ),
        Entry(
            "layer_fisher_ekfac",
            "plugins.statistics.layer_fisher:LayerFisherEkfac",
            "score statistic of each layer: gradient in units of an EKFAC Fisher information",
            version="1",
        ),
    )
