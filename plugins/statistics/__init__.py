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
