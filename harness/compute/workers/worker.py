"""A worker: takes the next piece of work that nobody holds or has done, until none is left.

The store is the queue: what is stored is done, and a lock per piece keeps other workers away. So
any number of workers, on any number of machines that share the store, divide the work among them.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import events
from harness.compute.device import keep_freed_memory, thread_count
from harness.compute.workers.context import ChainContext
from harness.compute.workers.pieces import (
    Piece,
    State,
    StatisticsPiece,
    TrainingPiece,
    statistics_of,
)
from harness.compute.workers.remaining import Remaining
from harness.errors import Interrupted, StoreError
from harness.events import Report
from harness.plan.jobs import Chain
from harness.plan.plan import Plan
from harness.settings import Settings, Share, asked_threads, data_folder
from harness.store.claims import claimed
from harness.store.layout import CHECKPOINTS
from harness.store.records import Store

PAUSE = 0.5
"""Shortest time between two looks at work that other workers hold, in seconds."""
PAUSE_PER_LOOK = 10.0
"""A pause takes this many times longer than the look before it, so that looks stay cheap."""
LONGEST_PAUSE = 60.0
"""Longest pause: the first look at many pieces takes long, and those after it do not."""
MOST_DEATHS = 2
"""Number of workers that may die at a piece of work before a run gives up on it."""


@dataclass(frozen=True)
class Worker:
    """A worker of a run, with everything that its process needs.

    Attributes:
        number: Position among the workers of the run, from 0.
        share: Where to begin in the list of work.
        plan: Plan with opened data sets; cells are not needed.
        settings: Settings of the run.
        threads: Number of threads for a training that begins.
        began: Beginning of the run, by the clock of the store.
        folder: Folder of the run in the store.
        command: Arguments of `bench` for the same worker; None for a suite made in memory.
        gpu: Value for `$CUDA_VISIBLE_DEVICES`; None to leave the variable as it is.
    """

    number: int
    share: Share
    plan: Plan
    settings: Settings
    threads: int
    began: float
    folder: Path = Path()
    command: tuple[str, ...] | None = None
    gpu: str | None = None

    @property
    def name(self) -> str:
        """Name of the worker in displays."""
        return f"worker {self.number + 1}"

    def left(self) -> int:
        """Count the jobs that are left to do, apart from those that have failed in this run."""
        self.plan.look_again()
        remaining = Remaining(self.plan, Store(self.settings.store), self.began)
        chains = self.plan.chains.values()
        epochs = sum(len(remaining.epochs(chain)) for chain in chains)
        return epochs + sum(remaining.lacks(job) for chain in chains for job in chain.jobs)

    def __call__(self, report: Report) -> None:
        """Work until everything is done, here or by other workers."""
        if self.gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpu
        self.work(report, lambda: False, until_done=True)

    def work(self, report: Report, stop: Callable[[], bool], *, until_done: bool) -> None:
        """Take one piece of work after another; failures are recorded, not raised.

        Arguments:
            report: Receives every event.
            stop: Returns True once the worker is asked to end.
            until_done: Wait while other workers hold work, and end when everything is done. By
                default, end when no work is free.

        Raises:
            Interrupted: The worker was asked to end; a training's progress is stored.
        """
        with data_folder(self.settings.data):
            keep_freed_memory()
            search = _Search(self, report, stop)
            while True:
                started = time.monotonic()
                if search.do_next():
                    continue
                if not until_done or not search.is_waiting:
                    return
                _pause(time.monotonic() - started, stop)


def pause_after(look: float) -> float:
    """Return the pause, in seconds, after a look that took so many seconds."""
    return min(max(PAUSE, PAUSE_PER_LOOK * look), LONGEST_PAUSE)


def _pause(look: float, stop: Callable[[], bool]) -> None:
    """Wait a while before the next look; workers that began together do not stay together."""
    end = time.monotonic() + pause_after(look) * random.uniform(0.5, 1.0)
    while (left := end - time.monotonic()) > 0:
        if stop():
            raise Interrupted
        time.sleep(min(left, PAUSE))


class _Search:
    """The search for free work, with a memory of pieces that are over.

    Attributes:
        is_waiting: The last look has found work that other workers hold, or that waits for them.
    """

    def __init__(self, worker: Worker, report: Report, stop: Callable[[], bool]) -> None:
        self._worker, self._report, self._stop = worker, report, stop
        self._plan, self._root = worker.plan, worker.settings.store
        self._remaining = Remaining(worker.plan, Store(self._root), worker.began)
        chains = worker.share.rotate(list(worker.plan.chains.values()))
        self._trainings = [TrainingPiece(chain) for chain in chains]
        self._statistics = {str(chain.id): statistics_of(chain) for chain in chains}
        self._over: set[Piece] = set()
        self._trained: set[str] = set()
        self._repaired: set[Piece] = set()
        self._last: Chain | None = None
        self.is_waiting = False

    def do_next(self) -> bool:
        """Do the first free piece of work; return False if no piece is free."""
        self.is_waiting = False
        for piece in self._candidates():
            if self._stop():
                raise Interrupted
            if piece not in self._over and self._is_open(piece) and self._try(piece):
                return True
        return False

    def _candidates(self) -> Iterator[Piece]:
        """Yield the pieces in order of preference.

        First come the statistics of the training that this worker has done, whose files are in
        memory; then trainings, which take longest; then the statistics of other trainings.
        """
        if self._last is not None:
            yield from self._statistics[str(self._last.id)]
        yield from self._trainings
        for pieces in self._statistics.values():
            yield from pieces

    def _is_open(self, piece: Piece) -> bool:
        """Return True if there is something to do now; remember a piece that is over."""
        # Before the look at statistics: what is not stored when its training is over never comes.
        is_trained = str(piece.chain.id) in self._trained
        state = piece.state(self._remaining)
        if state is State.OVER or (state is State.NOT_YET and is_trained):
            self._close(piece)
        elif state is State.NOT_YET:
            self.is_waiting = True
        return state is State.TO_DO

    def _try(self, piece: Piece) -> bool:
        """Do a piece of work unless another worker holds it; return True if it was done here."""
        with claimed(self._root, piece.lock_name(self._plan)) as claim:
            if claim is None:
                self.is_waiting = True
                return False
            if not self._is_open(piece):  # another worker has done it since
                return False
            if (deaths := claim.deaths(self._worker.began)) >= MOST_DEATHS:
                self._give_up(piece, deaths)
                return False
            with claim.marked(), thread_count(self._threads_for(piece)):
                self._do(piece)
        return True

    def _threads_for(self, piece: Piece) -> int:
        """Return the number of threads: of the training so far, unless a number was asked for.

        Threads change rounding, so a training begun on another machine keeps its number.
        """
        if self._worker.settings.threads or asked_threads():
            return self._worker.threads
        for epoch in sorted(piece.chain.epochs, reverse=True):
            key = self._plan.checkpoint_key(piece.chain.id, epoch)
            known = None if key is None else Store(self._root).find_manifest(CHECKPOINTS, key)
            threads = None if known is None else known.facts.get("threads")
            if isinstance(threads, int) and threads >= 1:
                return threads
        return self._worker.threads

    def _do(self, piece: Piece) -> None:
        worker = self._worker
        self._report(events.WorkTaken(str(piece), str(piece.chain.id), worker.name))
        context = ChainContext(
            str(piece), piece.chain, self._remaining, worker.settings, self._report, self._stop
        )
        try:
            piece.do(context)
        except StoreError as error:
            if not isinstance(piece, StatisticsPiece):
                raise
            self._repair(piece, context, error)
            return
        self._close(piece)
        if isinstance(piece, TrainingPiece):
            self._last = piece.chain

    def _repair(self, piece: StatisticsPiece, context: ChainContext, error: StoreError) -> None:
        """Have a damaged checkpoint made again, but only once."""
        self._plan.look_again()
        if piece in self._repaired:
            piece.fail(context, error)
            self._close(piece)
            return
        self._repaired.add(piece)
        self._over -= {other for other in self._trainings if other.chain is piece.chain}
        self._trained.discard(str(piece.chain.id))

    def _give_up(self, piece: Piece, deaths: int) -> None:
        self._close(piece)
        text = f"{piece}: {deaths} workers died at it, so this run leaves it"
        self._report(events.Message(text))

    def _close(self, piece: Piece) -> None:
        """Remember that a piece is over for this worker."""
        self._over.add(piece)
        if isinstance(piece, TrainingPiece):
            self._trained.add(str(piece.chain.id))
