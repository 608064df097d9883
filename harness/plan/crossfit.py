"""Cross-fitting: fitted statistics are never evaluated on the examples used for the fit."""

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
    """Numbers of examples to evaluate together, int64, (n,).

    `fit` has the numbers of the examples to fit the statistic on beforehand, from the test split
    of the ID set, `fit_dataset`; None if the statistic is not fitted.
    """

    ids: NDArray[np.int64]
    fit: NDArray[np.int64] | None
    fit_dataset: str = ""


def cross_fit_splits(job: StatisticJob, count: int, fit_count: int) -> Iterator[CrossFitSplit]:
    """Yield the examples of a job, in group order, and the examples for fitting the statistic.

    The examples of role `fit` form two parts of whole groups, and the statistic for each part is
    fitted on the other part: values would be too small on the examples used for the fit, and a
    scorer fitted to such values would classify all other examples as OOD. Other roles form a
    single part, and the statistic is fitted on the second part of `fit`. The number of fit
    examples is then the same for all roles: a statistic fitted on more examples has different
    values, and ID groups would no longer resemble the groups used for fitting scorers.

    Arguments:
        job: The job to evaluate.
        count: Size of the test split of the job's data set.
        fit_count: Size of the test split of the ID set.

    Raises:
        DataError: A set has fewer examples than requested by the draw.
        ScoreError: The statistic must be fitted, but role `fit` has fewer than two groups.
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
            f"{job.statistic} is fitted on half the examples with role 'fit' and evaluated on the "
            f"other half: two groups of {size} are needed, but only {len(fit)} examples exist"
        )
    if job.draw.role == "fit":
        yield CrossFitSplit(ids[:half], fit[half:], job.fit.dataset)
        yield CrossFitSplit(ids[half:], fit[:half], job.fit.dataset)
    else:
        yield CrossFitSplit(ids, fit[half:], job.fit.dataset)


def by_fit(job: StatisticJob) -> tuple[bool, str, int]:
    """Return a sort key that puts jobs with shared fits next to each other, per checkpoint."""
    return job.fit is not None, f"{job.statistic} {job.fit}", job.group_size or 1
