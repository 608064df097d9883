"""The work for one chain: train to the requested epochs, then evaluate their statistics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from harness import events
from harness.compute.checkpoints import build_model, load_model, tensor_bytes
from harness.compute.context import ChainContext
from harness.compute.device import keep_freed_memory, thread_count
from harness.compute.evaluate import Fits, evaluate, fit_to
from harness.compute.examination import EXAMPLES, examine
from harness.compute.inputs import model_input, stored_tensor
from harness.compute.rolling import Rolling
from harness.compute.saved.loading import load_saved
from harness.compute.trainer import Training, subset
from harness.contracts import DensityModel, FittedStatistic
from harness.domain import Examples
from harness.errors import DataError, StoreError, UnsupportedError
from harness.events import Report
from harness.plan.crossfit import CrossFitSplit, by_fit, cross_fit_splits
from harness.plan.jobs import Chain, StatisticJob
from harness.plan.keys import stored_epochs
from harness.plan.missing import is_missing
from harness.plan.plan import Plan, failure_inputs
from harness.settings import Settings, data_folder
from harness.store.failures import clear_failure
from harness.store.hashing import digest
from harness.store.layout import CHECKPOINTS, OPTIMIZER, STATISTICS, VALUES, WEIGHTS
from harness.store.locks import is_free, try_lock
from harness.store.records import array_bytes
from harness.store.timings import fit_work, record_rate, statistic_work, training_work

TRAINING_MEMORY = "try a smaller minibatch (a new training), a smaller model or another --device"
READING_MEMORY = "the file has to fit into memory: leave the optimiser out of it"
STATISTIC_MEMORY = "not even one group fits: try a smaller group size or another --device"


@dataclass(frozen=True)
class ChainTask:
    """A chain with all inputs for a worker process."""

    plan: Plan
    chain: Chain
    settings: Settings
    threads: int

    @property
    def name(self) -> str:
        """Name of the task in displays."""
        return str(self.chain.id)

    def ready(self) -> bool:
        """Return True if no other run is working on the chain at the moment."""
        return is_free(self.settings.store, self._train_key)

    def __call__(self, report: Report) -> None:
        """Compute everything in the chain that is not stored; failures are recorded, not raised.

        If another run is working on the chain, the task only reports `Postponed`.
        """
        lock = try_lock(self.settings.store, self._train_key)
        if lock is None:
            report(events.Postponed(self.name))
            return
        with lock, data_folder(self.settings.data), thread_count(self.threads):
            keep_freed_memory()
            context = ChainContext(self.plan, self.chain, self.settings, report)
            is_saved = self.chain.model.saved is not None
            make = _Reader(context).read if is_saved else _Trainer(context).train
            make()
            _Evaluator(context, make).evaluate()

    @property
    def _train_key(self) -> str:
        return str(self.plan.train_key(self.chain.id))


class _Trainer:
    """Trains a chain to the missing epochs and stores each checkpoint immediately."""

    def __init__(self, context: ChainContext) -> None:
        self._context, self._chain, self._store = context, context.chain, context.store
        inputs = context.plan.train_inputs(context.chain.id)
        assert inputs is not None, "data sets are prepared before chains start"
        self._train_key = digest(inputs)
        self._rolling = Rolling(context.store, self._train_key, inputs, context.note)

    def train(self) -> None:
        """Train to the missing epochs; store each checkpoint as soon as the epoch is reached."""
        missing = self._context.missing_epochs()
        try:
            if missing:
                self._train_to(missing)
            if lost := self._context.missing_epochs():  # checkpoints found damaged and skipped
                self._train_to(lost)
        except Exception as error:
            self._fail(error)
        for epoch in missing:
            if self._context.is_stored(epoch):
                clear_failure(self._store, self._context.failure_of(epoch))

    def _fail(self, error: Exception) -> None:
        context = self._context
        failures = [context.failure_of(epoch) for epoch in context.missing_epochs()]
        job = f"{self._context.task}: training"
        if isinstance(error, UnsupportedError):
            context.unsupported(job, "training", failures, error)
        else:
            context.failed(job, failures, error, TRAINING_MEMORY)

    def _train_to(self, missing: list[int]) -> None:
        chain, device = self._chain, self._context.device
        prepared = self._context.plan.prepared[chain.id.dataset]
        own_train, own_test = prepared.load("train"), prepared.load("test")
        training = Training(chain.model, chain.domain, own_train, chain.id.seed, device)
        if self._context.settings.compile:
            training.compile(self._context.note)
        if not self._jump(training, -1, missing[0]):
            training.start()
        minibatch = training.recipe.minibatch
        total = missing[-1] * training.steps_per_epoch - training.steps
        with self._context.step(f"training to epoch {missing[-1]}", total * minibatch) as advance:
            for target in missing:
                before = training.steps
                self._jump(training, training.epoch, target)
                advance((training.steps - before) * minibatch)
                self._store_if_missing(training, {}, own_test)  # epoch 0, before any step
                while training.epoch < target:
                    facts = self._run_epoch(training, advance)
                    self._store_if_missing(training, facts, own_test)
                    if not self._context.is_stored(training.epoch):
                        self._rolling.keep_if_due(training)

    def _jump(self, training: Training, after: int, target: int) -> bool:
        """Move a training to the latest stored state after epoch `after`, at most `target`."""
        jumped = self._jump_to_checkpoint(training, after, target)
        return self._rolling.restore_within(training, target) or jumped

    def _jump_to_checkpoint(self, training: Training, after: int, target: int) -> bool:
        for epoch in self._stored_epochs(after, target):
            key = self._context.key(epoch)
            try:
                weights = self._store.read(CHECKPOINTS, key, WEIGHTS)
                optimizer = self._store.read(CHECKPOINTS, key, OPTIMIZER)
            except StoreError as error:
                self._store.quarantine(CHECKPOINTS, key)
                self._context.note(f"{error}; set aside")
                continue
            training.resume(weights, optimizer, epoch)
            return True
        return False

    def _stored_epochs(self, after: int, before: int) -> list[int]:
        stored = stored_epochs(self._store, self._train_key)
        return [epoch for epoch in reversed(stored) if after < epoch < before]

    def _run_epoch(self, training: Training, advance: Callable[[int], None]) -> dict[str, Any]:
        started, before = time.perf_counter(), training.steps
        loss = training.run_epoch(advance, lambda: self._rolling.keep_if_due(training))
        seconds = time.perf_counter() - started
        examples = (training.steps - before) * training.recipe.minibatch
        work = training_work(self._chain.model, self._chain.domain)
        record_rate(self._store, work, seconds, examples)
        where, unit = (*self._chain.id, training.epoch), self._chain.domain.unit
        self._context.report(events.EpochFinished(self._context.task, *where, loss, seconds, unit))
        return {"train_bits_per_dim": loss, "seconds": seconds}

    def _store_if_missing(
        self, training: Training, facts: dict[str, Any], own_test: Examples
    ) -> None:
        is_asked_for = training.epoch_progress is None and training.epoch in self._chain.epochs
        if not is_asked_for or self._context.is_stored(training.epoch):
            return
        weights, optimizer = training.state()
        own = training.own_bits_per_dim(own_test)
        files = {WEIGHTS: weights, OPTIMIZER: optimizer}
        measured = {"own_dequantised_bits_per_dim": own if abs(own) < float("inf") else None}
        self._context.store_checkpoint(training.epoch, training.model, files, facts | measured)
        self._rolling.forget(training.steps)
        self._rolling.postpone()


class _Reader:
    """Reads the missing epochs of a model that was trained elsewhere, and trains nothing."""

    def __init__(self, context: ChainContext) -> None:
        self._context, self._chain = context, context.chain

    def read(self) -> None:
        """Store the missing epochs, then refuse epochs with equal weights."""
        context = self._context
        if not (missing := context.missing_epochs()):
            return
        with context.step(f"reading saved {context.unit}s", len(missing), "files") as advance:
            for epoch in missing:
                self._try(epoch, self._read)
                advance(1)
        for epoch in sorted(self._chain.epochs):
            self._try(epoch, self._refuse_copy)
            if context.is_stored(epoch):
                clear_failure(context.store, context.failure_of(epoch))

    def _try(self, epoch: int, do: Callable[[int], None]) -> None:
        job = f"{self._context.task}: {self._context.unit} {epoch}"
        try:
            do(epoch)
        except UnsupportedError as error:
            failures = [self._context.failure_of(epoch)]
            self._context.unsupported(job, "saved epochs", failures, error)
        except Exception as error:
            failures = [self._context.failure_of(epoch)]
            self._context.failed(job, failures, error, READING_MEMORY)

    def _read(self, epoch: int) -> None:
        chain, saved = self._chain, self._chain.model.saved
        if self._context.store.has(CHECKPOINTS, self._context.key(epoch)):
            return  # a copy of another epoch
        assert saved is not None, "only of models with saved epochs"
        inputs = self._context.plan.checkpoint_inputs(chain.id, epoch) or {}
        model = build_model(chain.model, chain.domain, 0)
        way = load_saved(model, saved, chain.id.seed, epoch, inputs["saved"]["content"])
        facts = {"file": str(saved.paths[chain.id.seed, epoch]), "found": way, "unit": saved.unit}
        files = {WEIGHTS: tensor_bytes(model.state_dict())}
        self._context.store_checkpoint(epoch, model, files, facts)

    def _refuse_copy(self, epoch: int) -> None:
        twin, saved = self._context.keys.twin(self._chain.id, epoch), self._chain.model.saved
        if twin is not None and saved is not None:
            raise DataError(saved.copy_message(self._chain.id.seed, twin, epoch))


class _Evaluator:
    """Evaluates the missing statistics in a chain, one checkpoint after another."""

    def __init__(self, context: ChainContext, make: Callable[[], None]) -> None:
        self._context, self._chain, self._store = context, context.chain, context.store
        self._plan, self._make_checkpoints = context.plan, make

    def evaluate(self) -> None:
        """Evaluate the missing statistics, one checkpoint after another."""
        jobs: dict[int | None, list[StatisticJob]] = {}
        for job in self._chain.jobs:
            jobs.setdefault(job.epoch, []).append(job)
        for epoch in (None, *sorted(self._chain.epochs)):
            if epoch is not None and not self._context.is_stored(epoch):
                continue
            missing = [job for job in jobs.get(epoch, ()) if self._lacks(job)]
            if missing:
                self._evaluate_all(epoch, sorted(missing, key=by_fit))

    def _evaluate_all(self, epoch: int | None, jobs: list[StatisticJob]) -> None:
        """Evaluate the statistics of a checkpoint, or with epoch None of the examples alone."""
        model: Any = None  # remains None for statistics that read only the examples
        try:
            if epoch is not None:
                model = self._load_model(epoch)
                self._examine(model, jobs[0])
        except Exception as error:
            for job in jobs:
                self._fail(job, error)
            return
        fits = Fits()
        for job in jobs:
            try:
                self._evaluate(job, model, fits)
            except Exception as error:
                self._fail(job, error)

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

    def _lacks(self, job: StatisticJob) -> bool:
        return self._plan.has_data(job) and is_missing(self._plan, self._store, job)

    def _load_model(self, epoch: int) -> DensityModel:
        chain, key, device = self._chain, self._context.key(epoch), self._context.device
        load = partial(load_model, self._store, chain.model, chain.domain, key, device)
        try:
            return load()
        except StoreError as error:
            self._store.quarantine(CHECKPOINTS, key)
            again = "trained" if chain.model.saved is None else "read"
            self._context.note(f"{error}; set aside, {again} again")
        self._make_checkpoints()
        return load()

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
            with self._context.step(self._step_name(job), len(part.ids)) as advance:
                started = time.perf_counter()
                chunks = (self._context.settings.batch_size, self._context.device, advance)
                chosen = self._input(images[part.ids])
                pieces.append(evaluate(statistic, model, chosen, size, *chunks))
                seconds += time.perf_counter() - started
            fit_seconds, examples = fit_seconds + took, examples + len(part.ids)
        work = statistic_work(component, self._chain.model, self._chain.domain, job.group_size)
        record_rate(self._store, work, seconds, examples)
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
        unit = self._context.unit
        name = f"{unit} {job.epoch}: fit of {job.statistic} on {part.fit_dataset}"
        with self._context.step(name, len(images)) as advance:
            started = time.perf_counter()
            fit_to(statistic, model, self._input(images), self._context.device)
            advance(len(images))
        seconds = time.perf_counter() - started
        work = fit_work(self._chain.jobs[job], self._chain.model, self._chain.domain)
        record_rate(self._store, work, seconds, len(images))

    def _input(self, examples: Examples) -> Tensor:
        """Return stored examples as the model takes them, on the CPU."""
        return model_input(stored_tensor(examples), self._chain.domain)

    def _step_name(self, job: StatisticJob) -> str:
        epoch = "" if job.epoch is None else f"{self._context.unit} {job.epoch}: "
        return f"{epoch}{job.statistic} of {job.draw.dataset}{job.details()}"
