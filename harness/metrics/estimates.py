"""Mean AUROCs over trainings, with standard error and 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.metrics.evidence import Evidence, evidence_of, shape_of, variances
from harness.metrics.intervals import (
    LEAST_GROUPS,
    Z_95,
    Limits,
    examples_interval,
    joined,
    logit_interval,
)
from harness.metrics.placements import Floats
from harness.metrics.student import t_quantile
from harness.results import Result


@dataclass(frozen=True)
class Estimate:
    """A mean AUROC over S trainings, with its error.

    Attributes:
        auroc: The mean, in [0, 1].
        se_examples: Standard error for other test examples.
        se_fit: Standard error for another fit of the same size; 0 if nothing is fitted.
        se_training: Standard error for other trainings; None with one training.
        low: Lower end of the 95 % interval for all parts; None with fewer than five groups on a
            side. The interval is not `auroc` ± 1.96 standard errors.
        high: Upper end of this interval.
    """

    auroc: float
    se_examples: float
    se_fit: float
    se_training: float | None
    low: float | None
    high: float | None

    @property
    def se(self) -> float:
        """Standard error for all parts, the root of the sum of their squares."""
        parts = (self.se_examples, self.se_fit, self.se_training or 0.0)
        return float(np.sqrt(sum(part * part for part in parts)))


def estimate(results: Sequence[Result]) -> Estimate | None:
    """Estimate the mean AUROC of one result per training; None if an error is unknown.

    All results must be for the same groups. The error of a single result is known already.
    """
    if len(results) == 1 and (metrics := results[0].metrics) is not None:
        if metrics.auroc_se is None:
            return None
        parts = metrics.auroc_se_examples, metrics.auroc_se_fit or 0.0
        return Estimate(metrics.auroc, *parts, None, metrics.auroc_low, metrics.auroc_high)
    shapes = {shape_of(result) for result in results}
    if len(shapes) != 1 or None in shapes:
        return None
    return estimate_of(evidence_of([results]))


def estimate_of(evidence: Evidence) -> Estimate:
    """Estimate a mean AUROC from its evidence, K = 1."""
    parts = variances(evidence)
    trainings = evidence.wins_out.shape[1]
    given = float(parts.all_examples[0] + parts.all_fit[0])
    shared = float(parts.training[0] + parts.examples[0] + parts.fit[0])
    low, high = limits(evidence)
    sides = evidence.wins_out.shape[-1], evidence.wins_in.shape[-1]
    is_enough = min(sides) >= LEAST_GROUPS
    return Estimate(
        auroc=float(evidence.aurocs.mean()),
        se_examples=float(np.sqrt(parts.all_examples[0])),
        se_fit=float(np.sqrt(parts.all_fit[0])),
        se_training=float(np.sqrt(max(0.0, shared - given))) if trainings > 1 else None,
        low=float(low[0]) if is_enough else None,
        high=float(high[0]) if is_enough else None,
    )


def limits(evidence: Evidence, z: float = Z_95) -> Limits:
    """Compute the intervals of K mean AUROCs for all parts of the error, joined by squares.

    Each part has an interval of its own: `examples_interval`; and logit intervals with Student's t
    on g - 1 degrees of freedom for the fit, and on S - 1 for the trainings. So few refits and few
    seeds widen only their own part. The joined ends are cut at 0 and 1.

    Arguments:
        evidence: Of AUROCs, not of differences.
        z: Normal quantile of the intervals, 1.96 for 95 %.
    """
    parts = variances(evidence)
    area: Floats = evidence.aurocs.mean(1)
    mean = evidence.mean()
    wins = mean.wins_out[:, 0], mean.wins_in[:, 0]
    found = [examples_interval(area, parts.examples, *wins, z)]
    if (parts.fit > 0).any():
        t = t_quantile(z, evidence.refits.shape[-1] - 1)
        found.append(logit_interval(area, t * np.sqrt(parts.fit)))
    if (parts.training > 0).any():
        found.append(logit_interval(area, t_quantile(z, parts.df[0]) * np.sqrt(parts.training)))
    low, high = joined(area, found)
    return np.maximum(0.0, low), np.minimum(1.0, high)
