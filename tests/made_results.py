"""Results made by hand, of which only the numbers that matter to a test are given."""

from __future__ import annotations

from dataclasses import replace

from harness.results import Metrics, Result

UNKNOWN = {
    "auroc_se": 0.25,  # so much that no difference is beyond it
    **dict.fromkeys(("aupr", "fpr95", "ovl_scores", "aupr_in"), 0.5),
    **dict.fromkeys(("n_in", "n_out"), 1),
    **dict.fromkeys(("bits_per_dim_in", "bits_per_dim_out", "ovl")),
    **dict.fromkeys(("bits_per_dim_midpoint_in", "bits_per_dim_midpoint_out")),
}


def made_result(cell, status="ok", message="", *, auroc=None, **values):
    """A result; it has metrics exactly if there is an AUROC.

    Of those not given, or None, the interval is the AUROC itself; others are as in UNKNOWN.
    """
    given = {name: values.pop(name) for name in Metrics._fields if name in values}
    given = {name: value for name, value in given.items() if value is not None}
    interval = {"auroc_low": auroc, "auroc_high": auroc}
    metrics = None if auroc is None else Metrics(auroc=auroc, **{**UNKNOWN, **interval, **given})
    return Result(cell, status, message, metrics, **values)


def with_metrics(result, **values):
    """The result with some of its metrics replaced."""
    return replace(result, metrics=result.metrics._replace(**values))
