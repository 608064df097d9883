"""Jobs left to do: neither stored, nor impossible for the model, nor failed in this run."""

from __future__ import annotations

from dataclasses import dataclass

from harness.plan.jobs import Chain, StatisticJob
from harness.plan.missing import is_missing, missing_epochs
from harness.plan.plan import Plan, failure_inputs, training_failure_inputs
from harness.store.failures import failed_since
from harness.store.records import Store


@dataclass(frozen=True)
class Remaining:
    """Jobs of a plan that are left to do.

    Attributes:
        began: Beginning of the run by the clock of the store. A job that has failed since then is
            not tried again by this run.
    """

    plan: Plan
    store: Store
    began: float

    def epochs(self, chain: Chain) -> list[int]:
        """List the epochs to train to or to read, ascending."""
        if chain.id.dataset not in self.plan.prepared:
            return []
        return [
            epoch
            for epoch in missing_epochs(self.plan, self.store, chain)
            if not self._failed(training_failure_inputs(self.plan, chain.id, epoch))
        ]

    def has_checkpoint(self, chain: Chain, epoch: int | None) -> bool:
        """Return True if an epoch is stored; for epoch None nothing has to be."""
        return epoch is None or self.plan.keys(self.store).has_checkpoint(chain.id, epoch)

    def lacks(self, job: StatisticJob) -> bool:
        """Return True if a statistic is left to do, once its checkpoint is stored."""
        return (
            self.plan.has_data(job)
            and is_missing(self.plan, self.store, job)
            and not self._failed(failure_inputs(self.plan, job))
        )

    def _failed(self, inputs: object) -> bool:
        return failed_since(self.store, inputs, self.began)
