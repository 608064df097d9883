"""Estimates of the time for missing results, from rates measured earlier."""

from __future__ import annotations

from dataclasses import dataclass

from harness.data.roles import Draw
from harness.errors import DataError
from harness.plan.jobs import Chain
from harness.plan.keys import stored_epochs
from harness.plan.missing import is_missing, missing_epochs
from harness.plan.plan import Plan
from harness.store.records import Store
from harness.store.timings import fit_work, known_rate, statistic_work, training_work


@dataclass
class Estimate:
    """Seconds of work for a single process, and the number of jobs without a known rate."""

    seconds: float = 0.0
    unknown: int = 0

    def add(self, rate: float | None, examples: int) -> None:
        """Add a job with a number of examples."""
        if rate is None:
            self.unknown += 1
        else:
            self.seconds += rate * examples


def estimate_chain(plan: Plan, store: Store, chain: Chain) -> Estimate:
    """Estimate the remaining work for a chain."""
    estimate = Estimate()
    missing = missing_epochs(plan, store, chain)
    if missing and chain.model.saved is None:  # saved epochs are read in no time
        rate = known_rate(store, training_work(chain.model, chain.domain))
        estimate.add(rate, _epochs_to_train(plan, store, chain, missing) * _examples(plan, chain))
    fits, rates = set(), dict[tuple[str, int | None], float | None]()
    for job, component in chain.jobs.items():
        if is_missing(plan, store, job):
            kind = job.statistic, job.group_size
            if kind not in rates:
                work = statistic_work(component, chain.model, chain.domain, job.group_size)
                rates[kind] = known_rate(store, work)
            estimate.add(rates[kind], _drawn(plan, job.draw))
            fit = job.epoch, job.statistic, job.fit
            if job.fit is not None and fit not in fits:
                fits.add(fit)  # a fit to each half; both halves together are all fit examples
                rate = known_rate(store, fit_work(component, chain.model, chain.domain))
                estimate.add(rate, _drawn(plan, job.fit))
    return estimate


def _epochs_to_train(plan: Plan, store: Store, chain: Chain, missing: list[int]) -> int:
    stored = stored_epochs(store, str(plan.train_key(chain.id)))
    return missing[-1] - max((epoch for epoch in stored if epoch < missing[0]), default=0)


def _examples(plan: Plan, chain: Chain) -> int:
    prepared = plan.prepared.get(chain.id.dataset)
    count = prepared.counts["train"] if prepared else 0
    return min(count, chain.model.recipe.examples or count)


def _drawn(plan: Plan, draw: Draw) -> int:
    prepared = plan.prepared.get(draw.dataset)
    if prepared is None:
        return 0
    try:
        return plan.examples(draw, prepared)[1]
    except DataError:
        return 0
