"""The rolling state of a training: progress since the last checkpoint.

The state is a record in the store like a checkpoint, replaced every few minutes. After a kill,
the training continues from this state, even within an epoch, with results identical bit for
bit to an uninterrupted run: the rest of an epoch depends only on weights, optimiser, losses
and generators.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from harness.compute.checkpoints import load_tensors, tensor_bytes
from harness.compute.trainer import Training
from harness.errors import Interrupted, StoreError
from harness.store.layout import OPTIMIZER, PROGRESS, ROLLING, TEMPORARY, WEIGHTS
from harness.store.records import Store

MINUTES = 5.0
"""Maximum time lost when a training is killed, in minutes, besides the current step."""


@dataclass
class Rolling:
    """Stores and restores the rolling state of one training.

    Arguments:
        store: Store for the states.
        train_key: Key of the training.
        inputs: Inputs of the train key, in clear.
        note: Receives a message if a state cannot be written or read; the training continues.
        clock: Returns monotonic time in seconds.
        stop: Returns True once the training is asked to end; then its state is stored at once.
    """

    store: Store
    train_key: str
    inputs: Mapping[str, Any]
    note: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    stop: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self.last = self.clock()

    def postpone(self) -> None:
        """Reset the timer, because everything so far is stored."""
        self.last = self.clock()

    def keep_if_due(self, training: Training) -> None:
        """Store the progress of a training, unless the last state is less than `MINUTES` old.

        Raises:
            Interrupted: The training is asked to end; its progress is stored.
        """
        is_asked_to_end = self.stop()
        if not is_asked_to_end and self.clock() - self.last < 60 * MINUTES:
            return
        try:
            self._keep(training)
        except OSError as error:  # for example a full disk; the next attempt may succeed
            self.note(f"rolling state not written, training goes on: {error}")
        self.postpone()
        if is_asked_to_end:
            raise Interrupted

    def restore_within(self, training: Training, epoch: int) -> bool:
        """Move a training to the latest stored state after its current step, within an epoch.

        Damaged states are set aside.

        Arguments:
            training: The training to move.
            epoch: The state must precede the end of this epoch.

        Returns:
            True if a state was restored.
        """
        end = epoch * training.steps_per_epoch
        for steps in sorted(self._stored(), reverse=True):
            if not training.steps < steps < end:
                continue
            key = self._key(steps)
            try:
                names = (WEIGHTS, OPTIMIZER, PROGRESS)
                weights, optimizer, progress = (
                    self.store.read(ROLLING, key, name) for name in names
                )
            except StoreError as error:
                self.store.quarantine(ROLLING, key)
                self.note(f"{error}; set aside, trained from an earlier state")
                continue
            training.resume_within(weights, optimizer, load_tensors(progress), steps)
            return True
        return False

    def forget(self, steps: int) -> None:
        """Remove the states for up to `steps` steps, because a later state is stored."""
        for stored in self._stored():
            if stored <= steps:
                self._remove(stored)

    def _keep(self, training: Training) -> None:
        weights, optimizer = training.state()
        progress = tensor_bytes(training.progress())
        files = {WEIGHTS: weights, OPTIMIZER: optimizer, PROGRESS: progress}
        facts = {"epoch": training.epoch, "steps": training.steps}
        self.store.write(
            ROLLING, self._key(training.steps), files, inputs=self.inputs, facts=facts
        )
        self.forget(training.steps - 1)

    def _key(self, steps: int) -> str:
        return f"{self.train_key}/step-{steps:09d}"

    def _stored(self) -> list[int]:
        folder = self.store.path(ROLLING, self.train_key)
        return [int(path.name.removeprefix("step-")) for path in folder.glob("step-*")]

    def _remove(self, steps: int) -> None:
        """Move a state away atomically, so that no reader sees half a record, then delete it."""
        aside = self.store.root / TEMPORARY / uuid.uuid4().hex
        aside.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            self.store.path(ROLLING, self._key(steps)).rename(aside)
            shutil.rmtree(aside)
