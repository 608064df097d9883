"""Ours beside the published: the difference, and whether sampling error explains it."""

from __future__ import annotations

import math

from harness.metrics.roc import Z_95, AurocEstimate, hanley_mcneil
from harness.results import Cell, Published
from harness.suite.references import Reference


def beside(reference: Reference | None, cell: Cell, ours: AurocEstimate) -> Published | None:
    """What was published for a cell, beside our estimate; None if nothing was.

    A published value comes without its scores, so its standard error is Hanley and McNeil's for
    as many groups a side as its examples make.
    """
    value = reference.value(cell) if reference else None
    if reference is None or value is None:
        return None
    groups = reference.examples // cell.group_size
    se = hanley_mcneil(value, groups, groups)
    difference = ours.auroc - value
    is_within = within_error(difference, ours.se, se)
    return Published(value, se, difference, is_within, reference.source)


def within_error(difference: float, se_ours: float, se_theirs: float) -> bool:
    """Whether a difference is at most 1.96 of its standard errors, the samples independent."""
    return abs(difference) <= Z_95 * math.hypot(se_ours, se_theirs)
