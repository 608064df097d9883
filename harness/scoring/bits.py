"""Bits per dimension of both sides of a cell, and the overlap between their densities."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.domain import bits_per_dim
from harness.metrics.overlap import overlap
from harness.plan.jobs import Sides, StatisticJob
from harness.plan.meaning import HAS_BITS
from harness.scoring.reader import StatisticReader

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Bits(NamedTuple):
    """Mean bits per dimension for ID and OOD examples, and the OVL between both densities."""

    mean_in: float | None = None
    mean_out: float | None = None
    ovl: float | None = None

    @classmethod
    def between(cls, bits_in: NDArray[np.float64], bits_out: NDArray[np.float64]) -> Bits:
        """Summarise bits per dimension of examples, float64, (n, 1) and (m, 1)."""
        sides = bits_in.ravel(), bits_out.ravel()
        mean_in, mean_out = (
            float(side.mean()) if np.isfinite(side).all() else None for side in sides
        )
        unknown = mean_in is None or mean_out is None
        return cls(mean_in, mean_out, None if unknown else overlap(*sides))


class BitsReader:
    """Reads bits per dimension, shared by all scorers and group sizes.

    Arguments:
        reader: Reader for the stored statistics.
    """

    def __init__(self, reader: StatisticReader) -> None:
        self._reader = reader
        self._known: dict[Sides, Bits] = {}

    def likelihood(self, job: StatisticJob) -> str:
        """Return what the log-probability of a job's model is, for example `"lower_bound"`."""
        return str(self._reader.checkpoint(job)["facts"]["likelihood"])

    def of(self, jobs: Sides | None) -> Bits:
        """Return the bits per dimension; unknown unless stored and defined by the model."""
        if jobs is None or self._lacking(jobs) or self.likelihood(jobs[0]) not in HAS_BITS:
            return Bits()
        if jobs not in self._known:
            dims = self._reader.plan.chains[jobs[0].chain].domain.dims
            values = (bits_per_dim(self._reader.values(job), dims) for job in jobs)
            self._known[jobs] = Bits.between(*values)
        return self._known[jobs]

    def notes(self, jobs: Sides | None) -> list[str]:
        """Say why bits per dimension are unknown although the model defines them."""
        if jobs is None or self.likelihood(jobs[0]) not in HAS_BITS:
            return []
        lacking = self._lacking(jobs)
        if not lacking:
            return []
        obstacle = self._reader.obstacle(lacking[0])
        missing = f"{lacking[0].statistic} is not stored; bench run computes it"
        unit = self._reader.plan.chains[jobs[0].chain].domain.unit
        return [f"{unit} are unknown: {missing if obstacle is None else obstacle[1]}"]

    def _lacking(self, jobs: Sides) -> list[StatisticJob]:
        return [job for job in jobs if self._reader.key(job) is None]
