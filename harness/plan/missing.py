"""Missing jobs: neither stored nor known to be impossible for the model.

A job is impossible after an `UnsupportedError`. The stored failure is found by the versions,
options and data of the job, so a new version of a plugin is tried.
"""

from __future__ import annotations

from harness.plan.jobs import Chain, ChainId, StatisticJob
from harness.plan.plan import Plan, failure_inputs, training_failure_inputs
from harness.store.failures import Failure, find_failure
from harness.store.records import Store


def training_failure(plan: Plan, store: Store, chain: ChainId, epoch: int) -> Failure | None:
    """Return the stored failure for the training to an epoch, if any."""
    if chain.dataset not in plan.prepared or plan.absence(chain, epoch) is not None:
        return None
    return find_failure(store, training_failure_inputs(plan, chain, epoch))


def statistic_failure(plan: Plan, store: Store, job: StatisticJob) -> Failure | None:
    """Return the stored failure for a statistic, or else for the training, if any."""
    if not plan.has_data(job):
        return None
    failure = find_failure(store, failure_inputs(plan, job))
    if failure is None and job.epoch is not None and not plan.keys(store).has_checkpoint_of(job):
        return training_failure(plan, store, job.chain, job.epoch)
    return failure


def is_impossible(failure: Failure | None) -> bool:
    """Return True if no later run can mend a failure, by the nature of the model."""
    return failure is not None and failure.status == "unsupported"


def missing_epochs(plan: Plan, store: Store, chain: Chain) -> list[int]:
    """List the missing epochs of a training, ascending, without revisions not on this machine."""
    return [
        epoch
        for epoch in sorted(chain.epochs)
        if plan.absence(chain.id, epoch) is None
        and not plan.keys(store).has_checkpoint(chain.id, epoch)
        and not is_impossible(training_failure(plan, store, chain.id, epoch))
    ]


def is_missing(plan: Plan, store: Store, job: StatisticJob) -> bool:
    """Return True if a statistic is missing, and its revision is not."""
    if plan.absence(job.chain, job.epoch) is not None:
        return False
    is_stored = plan.keys(store).has_statistic(job)
    return not is_stored and not is_impossible(statistic_failure(plan, store, job))
