"""The statistics of one checkpoint, evaluated and stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from harness import events
from harness.compute.checkpoints import load_model
from harness.compute.evaluate import Fits, evaluate, fit_to
from harness.compute.examination import EXAMPLES, examine
from harness.compute.inputs import model_input, stored_tensor
from harness.compute.trainer import subset
from harness.compute.workers.context import ChainContext
from harness.contracts import DensityModel, FittedStatistic
from harness.domain import Examples
from harness.errors import Interrupted, StoreError, UnsupportedError
from harness.plan.crossfit import CrossFitSplit, by_fit, cross_fit_splits
from harness.plan.jobs import StatisticJob
from harness.plan.plan import failure_inputs
from harness.store.failures import clear_failure
from harness.store.hashing import digest
from harness.store.layout import CHECKPOINTS, STATISTICS, VALUES
from harness.store.records import array_bytes
from harness.store.timings import Rates, fit_work, statistic_work

STATISTIC_MEMORY = "not even one group fits: try a smaller group size or another --device"


class CheckpointStatistics:
    """Evaluates the missing statistics of a checkpoint, or of the examples alone.

    Arguments:
        context: Plan, store, device and reporting.
        epoch: Epoch of the checkpoint; None for statistics that read only the examples.
        jobs: All statistics of the checkpoint.
    """

    def __init__(
        self, context: ChainContext, epoch: int | None, jobs: Iterable[StatisticJob]
    ) -> None:
        self._context, self._chain, self._store = context, context.chain, context.store
        self._plan, self._epoch, self._jobs = context.plan, epoch, jobs
        self._rates = Rates(self._store)

    def evaluate(self) -> None:
        """Evaluate the missing statistics; failures are recorded, not raised.

        Raises:
            StoreError: The checkpoint is damaged, and has been set aside.
            Interrupted: The worker is asked to end.
        """
        jobs = sorted(
            (job for job in self._jobs if self._context.remaining.lacks(job)), key=by_fit
        )
        if not jobs:
            return
        try:
            model = self._model(jobs[0])
        except StoreError:
            raise
        except Exception as error:
            self.fail(error)
            return
        fits = Fits()
        try:
            for job in jobs:
                try:
                    self._evaluate(job, model, fits)
                except Exception as error:
                    self._fail(job, error)
        finally:
            self._rates.record()

    def fail(self, error: Exception) -> None:
        """Record that an error prevents all missing statistics."""
        for job in self._jobs:
            if self._context.remaining.lacks(job):
                self._fail(job, error)

    def _model(self, job: StatisticJob) -> Any:
        """Return the examined model; None for statistics that read only the examples."""
        if self._epoch is None:
            return None
        model = self._load_model(self._epoch)
        self._examine(model, job)
        return model

    def _examine(self, model: DensityModel, job: StatisticJob) -> None:
        images = self._plan.prepared[job.draw.dataset].load("test")
        few = subset(images, EXAMPLES, self._chain.id.seed, "examination")
        examine(model, self._input(few).to(self._context.device))

    def _fail(self, job: StatisticJob, error: Exception) -> None:
        failures = [failure_inputs(self._plan, job)]
        if isinstance(error, UnsupportedError):
            self._context.unsupported(str(job), job.statistic, failures, error)
        else:
            self._context.failed(str(job), failures, error, STATISTIC_MEMORY)

    def _load_model(self, epoch: int) -> DensityModel:
        chain, key, device = self._chain, self._context.key(epoch), self._context.device
        try:
            return load_model(self._store, chain.model, chain.domain, key, device)
        except StoreError as error:
            self._store.quarantine(CHECKPOINTS, key)
            again = "trained" if chain.model.saved is None else "read"
            self._context.note(f"{error}; set aside, {again} again")
            raise

    def _evaluate(self, job: StatisticJob, model: DensityModel, fits: Fits) -> None:
        inputs = self._plan.keys(self._store).statistic_inputs(job)
        assert inputs is not None, "the checkpoint and the data are available"
        component = self._chain.jobs[job]
        prepared = self._plan.prepared[job.draw.dataset]
        fitted_on = self._plan.prepared[(job.fit or job.draw).dataset]
        images, size = prepared.load("test"), job.group_size or 1
        pieces, seconds, fit_seconds, examples = [], 0.0, 0.0, 0
        for part in cross_fit_splits(job, prepared.counts["test"], fitted_on.counts["test"]):
            fit = partial(self._fit, job, part, model)
            statistic, took = fits.ready(component, part, fit)
            name = f"{job.statistic} of {job.draw.dataset}{job.details()}"
            with self._context.step(name, len(part.ids)) as advance:
                started = time.perf_counter()
                settings = self._context.settings
                chunks = (settings.batch_size, self._context.device, self._unless_asked(advance))
                chosen = self._input(images[part.ids])
                pieces.append(evaluate(statistic, model, chosen, size, *chunks))
                seconds += time.perf_counter() - started
            fit_seconds, examples = fit_seconds + took, examples + len(part.ids)
        work = statistic_work(component, self._chain.model, self._chain.domain, job.group_size)
        self._rates.add(work, seconds, examples)
        facts = {
            "features": list(statistic.features(model)),
            "seconds": seconds,
            **({} if job.fit is None else {"fit_seconds": fit_seconds}),
            "job": str(job),
            **self._context.origin(component),
        }
        files = {VALUES: array_bytes(np.concatenate(pieces))}
        self._store.write(STATISTICS, digest(inputs), files, inputs=inputs, facts=facts)
        clear_failure(self._store, failure_inputs(self._plan, job))
        self._context.report(events.JobFinished(self._context.task, str(job)))

    def _fit(
        self,
        job: StatisticJob,
        part: CrossFitSplit,
        model: DensityModel,
        statistic: FittedStatistic,
    ) -> None:
        """Fit a statistic to the examples assigned to one part."""
        assert part.fit is not None
        images = self._plan.prepared[part.fit_dataset].load("test")[part.fit]
        name = f"fit of {job.statistic} on {part.fit_dataset}"
        with self._context.step(name, len(images)) as advance:
            started = time.perf_counter()
            fit_to(statistic, model, self._input(images), self._context.device)
            advance(len(images))
        seconds = time.perf_counter() - started
        work = fit_work(self._chain.jobs[job], self._chain.model, self._chain.domain)
        self._rates.add(work, seconds, len(images))

    def _input(self, examples: Examples) -> Tensor:
        """Return stored examples as the model takes them, on the CPU."""
        return model_input(stored_tensor(examples), self._chain.domain)

    def _unless_asked(self, advance: Callable[[int], None]) -> Callable[[int], None]:
        """Return `advance`, which ends the evaluation once the worker is asked to end."""

        def advance_or_end(amount: int) -> None:
            advance(amount)
            if self._context.stop():
                raise Interrupted

        return advance_or_end
