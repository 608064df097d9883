"""A simulation of many workers that share a store, by discrete events.

The costs of a look and of a job are those that `scheduling.py jobs` counts. A worker takes work as
`harness/compute/workers/worker.py` does: the statistics of its own training, then trainings, then
other statistics, from its share of the list on; it looks at every piece of work until it has seen
that the piece is over. The file system answers each call after a fixed time, however many call.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from harness.compute.workers.worker import pause_after

EPOCHS, JOBS = 11, 10
"""Checkpoints of a training, and statistics of a checkpoint."""
EPOCH_SECONDS, JOB_SECONDS = 60.0, 10.0
STORE_CALLS, JOB_PROCESSOR = 39, 0.003
"""File-system calls and processor time for a stored job."""
LOOK_CALLS, HELD_CALLS, ABSENT_CALLS = 2, 8, 1
"""Calls of a look: per job of a stored piece, at a piece in work, and for a missing checkpoint."""
HAZARD = 0.01 / 3600
"""Preemptions of a worker per second."""
RESTART, LOST = 60.0, 150.0
"""Seconds until a preempted worker is back, and of work that it loses at most."""


@dataclass
class Pieces:
    """Trainings, then the statistics of their checkpoints; times in seconds, one entry a piece.

    Attributes:
        trainings: Number of trainings.
        left: Work that is left.
        ready: When the piece can be done; infinite if unknown.
        end: When the piece is stored; infinite if unknown.
        held: Whether a worker is at it.
    """

    trainings: int
    left: np.ndarray = field(init=False)
    ready: np.ndarray = field(init=False)
    end: np.ndarray = field(init=False)
    held: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        count = self.trainings * (1 + EPOCHS)
        self.left = np.full(count, JOBS * JOB_SECONDS)
        self.left[: self.trainings] = EPOCHS * EPOCH_SECONDS
        self.ready = np.where(np.arange(count) < self.trainings, 0.0, np.inf)
        self.end = np.full(count, np.inf)
        self.held = np.zeros(count, bool)

    def statistics_of(self, training: int) -> slice:
        """Return the places of a training's statistics."""
        first = self.trainings + EPOCHS * training
        return slice(first, first + EPOCHS)

    def begin(self, piece: int, now: float) -> None:
        """Begin or take up a piece; the checkpoints of a training come one by one."""
        self.held[piece] = True
        self.end[piece] = now + self.left[piece]
        if piece < self.trainings:
            ready = self.ready[self.statistics_of(piece)]
            missing = ready > now
            parts = np.arange(1, missing.sum() + 1) / max(1, missing.sum())
            ready[missing] = now + self.left[piece] * parts

    def break_off(self, piece: int, begun: float, now: float) -> None:
        """Leave a piece before it is done."""
        self.held[piece] = False
        self.end[piece] = np.inf
        self.left[piece] -= max(0.0, now - begun - LOST)
        if piece < self.trainings:
            ready = self.ready[self.statistics_of(piece)]
            ready[ready > now] = np.inf


class Cluster:
    """Workers that share a store.

    Arguments:
        workers: Number of workers.
        trainings: Number of trainings.
        latency: Seconds that the file system takes for a call.
    """

    def __init__(self, workers: int, trainings: int, latency: float) -> None:
        self.pieces = Pieces(trainings)
        self.latency, self.workers = latency, workers
        self.useful = float(self.pieces.left.sum())
        jobs = trainings * EPOCHS * JOBS
        self.pieces.left[trainings:] += JOBS * (STORE_CALLS * latency + JOB_PROCESSOR)
        self.known = np.zeros((workers, len(self.pieces.left)), bool)
        self.last = np.full(workers, -1)
        self.random = np.random.default_rng(0)
        self.jobs, self.looking = jobs, 0.0

    def run(self) -> float:
        """Return the time until every worker has seen that all is over."""
        turns = [(0.0, worker) for worker in range(self.workers)]
        now = 0.0
        while turns:
            now, worker = heapq.heappop(turns)
            later = self._turn(worker, now)
            if later is not None:
                heapq.heappush(turns, (later, worker))
        return now

    def _turn(self, worker: int, now: float) -> float | None:
        """Look for work and do it; return when the worker looks again, None if all is over."""
        piece, calls = self._search(worker, now)
        look = calls * self.latency
        self.looking += look
        if piece is None:
            is_over = self.known[worker].all()
            return None if is_over else now + look + pause_after(look)
        begun = now + look
        self.pieces.begin(piece, begun)
        preempted = begun + self.random.exponential(1 / HAZARD)
        if preempted < self.pieces.end[piece]:
            self.pieces.break_off(piece, begun, preempted)
            self.known[worker], self.last[worker] = False, -1
            return preempted + RESTART
        if piece < self.pieces.trainings:
            self.last[worker] = piece
        return float(self.pieces.end[piece])

    def _search(self, worker: int, now: float) -> tuple[int | None, int]:
        """Return the first free piece, and the calls of all looks on the way to it."""
        calls = 0
        for part in self._order(worker):
            free = ~self.pieces.held[part] & (self.pieces.ready[part] <= now)
            at = int(free.argmax()) if free.any() else None
            seen = part if at is None else slice(part.start, part.start + at)
            calls += self._look(worker, seen, now)
            if at is not None:
                return part.start + at, calls
        return None, calls

    def _order(self, worker: int) -> Iterator[slice]:
        pieces = self.pieces
        if self.last[worker] >= 0:
            yield pieces.statistics_of(int(self.last[worker]))
        first = worker * pieces.trainings // self.workers
        yield slice(first, pieces.trainings)
        yield slice(0, first)
        middle = pieces.statistics_of(first).start
        yield slice(middle, len(pieces.left))
        yield slice(pieces.trainings, middle)

    def _look(self, worker: int, part: slice, now: float) -> int:
        """Return the calls of looks at pieces that are not free, and remember those over."""
        pieces, known = self.pieces, self.known[worker, part]
        over = pieces.end[part] <= now
        held = pieces.held[part] & ~over
        absent = ~pieces.held[part]  # not free, so its checkpoint is missing
        calls = (over & ~known).sum() * LOOK_CALLS * JOBS
        known |= over
        return int(calls + held.sum() * HELD_CALLS + absent.sum() * ABSENT_CALLS)


def simulate(workers: int, latency: float, per_worker: int = 9) -> tuple[float, float]:
    """Return the share of the workers' time spent on work, and the share spent on looks."""
    cluster = Cluster(workers, per_worker * workers, latency)
    whole = workers * cluster.run()
    return cluster.useful / whole, cluster.looking / whole


def simulate_all() -> None:
    """Print the utilisation for several clusters and file systems."""
    print("workers  jobs       latency  utilisation  looks")
    for workers in (10, 100, 300, 1000):
        for latency in (0.0001, 0.001, 0.01):
            used, looks = simulate(workers, latency)
            jobs = 9 * workers * EPOCHS * JOBS
            print(f"{workers:7}  {jobs:9,}  {1e3 * latency:4.1f} ms  {used:11.1%}  {looks:5.1%}")
