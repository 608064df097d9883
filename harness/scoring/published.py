"""Comparison of our AUROC with the published AUROC, including sampling error."""

from __future__ import annotations

import math

import numpy as np

from harness.metrics.intervals import Z_95, expected_trials, wilson
from harness.metrics.roc import hanley_mcneil
from harness.results import Published, Result
from harness.suite.references import Reference


def beside(reference: Reference | None, result: Result) -> Published | None:
    """Compare our number for a cell with the published value; None if either is missing.

    Published values come without scores, so their error follows from the value and the number of
    groups on each side, given by the number of examples.
    """
    value = reference.value(result.cell) if reference else None
    if reference is None or value is None or result.metrics is None:
        return None
    groups = reference.examples // result.cell.group_size
    low, high = published_interval(value, groups, reference.decimals)
    se = hanley_mcneil(value, groups, groups) or max(value - low, high - value) / Z_95
    difference = result.metrics.auroc - value
    ours = result.metrics.auroc_se or result.metrics.auroc_se_examples
    is_within = within_error(difference, ours, se)
    return Published(value, se, low, high, difference, is_within, reference.source)


def published_interval(value: float, groups: int, decimals: int) -> tuple[float, float]:
    """Compute the 95 % interval of a printed AUROC, by Wilson with H(A) trials.

    The lower end belongs to the smallest AUROC that is printed as `value`, the upper end to the
    largest. So a printed 1.0000 has an interval too.

    Arguments:
        value: The printed AUROC.
        groups: Number of groups on each side.
        decimals: Number of printed decimals.
    """
    half = 0.5 * 10.0**-decimals
    ends = np.clip([value - half, value + half], 0.0, 1.0)
    lows, highs = wilson(ends, 1 / expected_trials(ends, groups, groups), groups, groups)
    return float(lows[0]), float(highs[1])


def within_error(difference: float, se_ours: float, se_theirs: float) -> bool:
    """Return True if a difference is at most 1.96 standard errors, for independent samples."""
    return abs(difference) <= Z_95 * math.hypot(se_ours, se_theirs)
