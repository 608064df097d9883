"""Pieces of work, each done by one worker at a time: a training, or a checkpoint's statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from harness.compute.workers.context import ChainContext
from harness.compute.workers.reading import SavedReader
from harness.compute.workers.remaining import Remaining
from harness.compute.workers.statistics import CheckpointStatistics
from harness.compute.workers.training import ChainTrainer
from harness.plan.jobs import Chain, StatisticJob
from harness.plan.plan import Plan
from harness.store.locks import checkpoint_lock


class State(Enum):
    """Jobs left to do in a piece of work."""

    TO_DO = "to do"
    NOT_YET = "not yet, because the checkpoint is not stored"
    OVER = "nothing is left to do in this run"


@dataclass(frozen=True, eq=False)
class TrainingPiece:
    """All epochs of a chain, trained here or read from saved files."""

    chain: Chain

    def __str__(self) -> str:
        return str(self.chain.id)

    def lock_name(self, plan: Plan) -> str:
        """Return the name of the lock: the train key."""
        return str(plan.train_key(self.chain.id))

    def state(self, remaining: Remaining) -> State:
        """Return what is left to do."""
        return State.TO_DO if remaining.epochs(self.chain) else State.OVER

    def do(self, context: ChainContext) -> None:
        """Train to the missing epochs, or read them; failures are recorded, not raised."""
        if self.chain.model.saved is None:
            ChainTrainer(context).train()
        else:
            SavedReader(context).read()


@dataclass(frozen=True, eq=False)
class StatisticsPiece:
    """The statistics of a checkpoint, or, if the epoch is None, of the examples alone."""

    chain: Chain
    epoch: int | None
    jobs: Sequence[StatisticJob]

    def __str__(self) -> str:
        of = "examples" if self.epoch is None else f"{self.chain.unit} {self.epoch}"
        return f"{self.chain.id}, {of}"

    def lock_name(self, plan: Plan) -> str:
        """Return the name of the lock: the key of the checkpoint, which chains may share."""
        if self.epoch is None:
            return "examples"
        return checkpoint_lock(str(plan.checkpoint_key(self.chain.id, self.epoch)))

    def state(self, remaining: Remaining) -> State:
        """Return what is left to do."""
        if not remaining.has_checkpoint(self.chain, self.epoch):
            return State.NOT_YET
        return State.TO_DO if any(map(remaining.lacks, self.jobs)) else State.OVER

    def fail(self, context: ChainContext, error: Exception) -> None:
        """Record that an error prevents all missing statistics."""
        CheckpointStatistics(context, self.epoch, self.jobs).fail(error)

    def do(self, context: ChainContext) -> None:
        """Evaluate what is missing; failures are recorded, not raised.

        Raises:
            StoreError: The checkpoint is damaged, and has been set aside.
        """
        CheckpointStatistics(context, self.epoch, self.jobs).evaluate()


Piece: TypeAlias = TrainingPiece | StatisticsPiece


def statistics_of(chain: Chain) -> list[StatisticsPiece]:
    """Divide the statistics of a chain into pieces, by epoch."""
    jobs: dict[int | None, list[StatisticJob]] = {}
    for job in chain.jobs:
        jobs.setdefault(job.epoch, []).append(job)
    epochs = sorted(jobs, key=lambda epoch: -1 if epoch is None else epoch)
    return [StatisticsPiece(chain, epoch, jobs[epoch]) for epoch in epochs]
