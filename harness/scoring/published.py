"""Comparison of our AUROC with the published AUROC, including sampling error."""

from __future__ import annotations

import math

from harness.metrics.intervals import Z_95
from harness.metrics.roc import hanley_mcneil
from harness.results import Published, Result
from harness.suite.references import Reference


def beside(reference: Reference | None, result: Result) -> Published | None:
    """Compare our number for a cell with the published value; None if either is missing.

    Published values come without scores, so the standard error follows Hanley and McNeil, for the
    group count per side given by the number of examples.
    """
    value = reference.value(result.cell) if reference else None
    if reference is None or value is None or result.metrics is None:
        return None
    groups = reference.examples // result.cell.group_size
    se = hanley_mcneil(value, groups, groups)
    difference = result.metrics.auroc - value
    is_within = within_error(difference, result.metrics.auroc_se, se)
    return Published(value, se, difference, is_within, reference.source)


def within_error(difference: float, se_ours: float, se_theirs: float) -> bool:
    """Return True if a difference is at most 1.96 standard errors, for independent samples."""
    return abs(difference) <= Z_95 * math.hypot(se_ours, se_theirs)
