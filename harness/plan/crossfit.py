"""Cross-fitting: a fitted statistic is never evaluated on the examples that it was fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import ScoreError
from harness.plan.jobs import StatisticJob

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CrossFitSplit:
    """Numbers of examples that are evaluated together, int64, (n,).

    `fit` are the numbers of those that the statistic is fitted on first, of the test split of the
    ID set, `fit_dataset`; None if it is not a fitted one.
    """

    ids: NDArray[np.int64]
    fit: NDArray[np.int64] | None
    fit_dataset: str = ""


def cross_fit_splits(job: StatisticJob, count: int, fit_count: int) -> Iterator[CrossFitSplit]:
    """The examples of a job in the order of its groups, and those that its statistic is fitted on.

    The examples of role `fit` come in two parts, whole groups each, and the statistic of either is
    fitted on the other: it would be too small on the very examples that made it, and a scorer
    fitted to such values would take all others for OOD. Other roles come in one part, and their
    statistic is fitted on the second part of `fit`: on as many examples as for `fit` itself,
    because one fitted on more has other values, and ID groups would no longer be like those that
    scorers were fitted on.

    Arguments:
        job: What is evaluated.
        count: Size of the test split of its data set.
        fit_count: The same of the ID set.

    Raises:
        DataError: A set has fewer examples than are drawn.
        ScoreError: A statistic is to be fitted, and role `fit` has fewer than two groups.
    """
    ids = job.draw.ids(count)
    if job.fit is None:
        yield CrossFitSplit(ids, None)
        return
    fit = job.fit.ids(fit_count)
    size = job.group_size or 1
    half = len(fit) // size // 2 * size
    if half == 0:
        raise ScoreError(
            f"{job.statistic} is fitted on other examples of role 'fit' than it is evaluated on, "
            f"which needs two groups of {size}; there are {len(fit)} examples"
        )
    if job.draw.role == "fit":
        yield CrossFitSplit(ids[:half], fit[half:], job.fit.dataset)
        yield CrossFitSplit(ids[half:], fit[:half], job.fit.dataset)
    else:
        yield CrossFitSplit(ids, fit[half:], job.fit.dataset)


def by_fit(job: StatisticJob) -> tuple[bool, str, int]:
    """A sorting key that brings together the jobs of one checkpoint that share fits."""
    return job.fit is not None, f"{job.statistic} {job.fit}", job.group_size or 1
