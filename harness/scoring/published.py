"""Ours beside the published: the difference, and whether sampling error explains it."""

from __future__ import annotations

import math

from harness.metrics.roc import Z_95, hanley_mcneil
from harness.results import Published, Result
from harness.suite.references import Reference


def beside(reference: Reference | None, result: Result) -> Published | None:
    """What was published for a cell, beside our number; None if nothing was, or we have none.

    A published value comes without its scores, so its standard error is Hanley and McNeil's for
    as many groups a side as its examples make.
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
    """Whether a difference is at most 1.96 of its standard errors, the samples independent."""
    return abs(difference) <= Z_95 * math.hypot(se_ours, se_theirs)
