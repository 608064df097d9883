"""The rolling state of a training: how far it has got since its last checkpoint.

It is a record of the store like a checkpoint, replaced every few minutes. A training that was
killed goes on from it, within an epoch too, and gives bit for bit what an undisturbed one gives:
weights, optimiser, losses and generators are all that the rest of an epoch depends on.
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
from harness.errors import StoreError
from harness.store.layout import OPTIMIZER, PROGRESS, ROLLING, TEMPORARY, WEIGHTS
from harness.store.records import Store

MINUTES = 5.0
"""What a training that is killed loses at most, beside the step that it is in."""


@dataclass
class Rolling:
    """Keeps and finds the rolling state of one training.

    Arguments:
        inputs: What the train key is the digest of, in clear.
        note: Told of what could not be written or read; neither ends the training.
        clock: Seconds that never go back.
    """

    store: Store
    train_key: str
    inputs: Mapping[str, Any]
    note: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.last = self.clock()

    def postpone(self) -> None:
        """Everything so far is stored: nothing is due for some minutes."""
        self.last = self.clock()

    def keep_if_due(self, training: Training) -> None:
        """Store how far a training has got, if the last time was some minutes ago."""
        if self.clock() - self.last < 60 * MINUTES:
            return
        try:
            self._keep(training)
        except OSError as error:  # as of a full disk; the next time it may work
            self.note(f"rolling state not written, training goes on: {error}")
        self.postpone()

    def restore_within(self, training: Training, epoch: int) -> bool:
        """Bring a training to the latest stored state after its own and before an epoch's end.

        Damaged states are set aside.

        Returns:
            Whether there was one.
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
        """Remove the states of up to so many steps: a later one is stored."""
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
        """Out of sight by one rename, so that no half of it can be seen; then for good."""
        aside = self.store.root / TEMPORARY / uuid.uuid4().hex
        aside.parent.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            self.store.path(ROLLING, self._key(steps)).rename(aside)
            shutil.rmtree(aside)
