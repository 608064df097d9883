"""Results made by hand, of which only the numbers that matter to a test are given."""

from __future__ import annotations

from dataclasses import replace

from harness.metrics.estimates import estimate_of
from harness.metrics.evidence import evidence_of_scores
from harness.results import Metrics, Result

UNKNOWN = {
    "auroc_se": 0.25,  # so much that no difference is beyond it
    "auroc_se_examples": 0.25,
    "auroc_se_fit": 0.0,
    "n_fit": 0,
    **dict.fromkeys(("aupr", "fpr95", "ovl_scores", "aupr_in"), 0.5),
    **dict.fromkeys(("n_in", "n_out"), 100),
    **dict.fromkeys(("bits_per_dim_in", "bits_per_dim_out", "ovl")),
    **dict.fromkeys(("bits_per_dim_midpoint_in", "bits_per_dim_midpoint_out")),
}


def made_result(cell, status="ok", message="", *, auroc=None, **values):
    """A result; it has metrics exactly if there is an AUROC.

    Of those not given, or None, the interval is the AUROC itself, and the whole standard error is
    that of the examples; others are as in UNKNOWN.
    """
    given = {name: values.pop(name) for name in Metrics._fields if name in values}
    given = {name: value for name, value in given.items() if value is not None}
    interval = {"auroc_low": auroc, "auroc_high": auroc}
    interval["auroc_se_examples"] = given.get("auroc_se", UNKNOWN["auroc_se_examples"])
    metrics = None if auroc is None else Metrics(auroc=auroc, **{**UNKNOWN, **interval, **given})
    return Result(cell, status, message, metrics, **values)


def with_metrics(result, **values):
    """The result with some of its metrics replaced."""
    return replace(result, metrics=result.metrics._replace(**values))


def estimated(scores_in, scores_out):
    """The estimate of an AUROC without a fit."""
    return estimate_of(evidence_of_scores(scores_in, scores_out))


def scored_result(cell, scores_in, scores_out, **values):
    """A result with scores, and the numbers that follow from them."""
    found = estimated(scores_in, scores_out)
    numbers = {"auroc_se": found.se, "auroc_se_examples": found.se_examples}
    numbers |= {"auroc_low": found.low, "auroc_high": found.high}
    numbers |= {"n_in": len(scores_in), "n_out": len(scores_out)}
    scores = {"scores_in": scores_in, "scores_out": scores_out}
    return made_result(cell, "ok", auroc=found.auroc, **numbers | scores | values)
