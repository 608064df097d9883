"""The training of a chain, to every epoch that the suite asks for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from harness import events
from harness.compute.rolling import Rolling
from harness.compute.trainer import Training
from harness.compute.workers.context import ChainContext
from harness.domain import Examples
from harness.errors import StoreError, UnsupportedError
from harness.plan.keys import stored_epochs
from harness.plan.meaning import loss_unit
from harness.store.failures import clear_failure
from harness.store.hashing import digest
from harness.store.layout import CHECKPOINTS, OPTIMIZER, WEIGHTS
from harness.store.timings import record_rate, training_work

TRAINING_MEMORY = "try a smaller minibatch (a new training), a smaller model or another --device"


class ChainTrainer:
    """Trains a chain to the missing epochs and stores each checkpoint immediately."""

    def __init__(self, context: ChainContext) -> None:
        self._context, self._chain, self._store = context, context.chain, context.store
        inputs = context.plan.train_inputs(context.chain.id)
        assert inputs is not None, "data sets are prepared before chains start"
        self._train_key = digest(inputs)
        self._rolling = Rolling(
            context.store, self._train_key, inputs, context.note, stop=context.stop
        )

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
        where = *self._chain.id, training.epoch
        unit = loss_unit(training.model.likelihood, self._chain.domain.unit)
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
