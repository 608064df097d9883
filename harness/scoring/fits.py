"""Fits of a scorer: to all fit groups, and to the groups without each block (the jackknife)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from harness.contracts import Scorer
from harness.errors import ScoreError
from harness.metrics.evidence import BLOCKS, LEAST_FIT
from harness.metrics.placements import win_counts_by_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

Read: TypeAlias = Mapping[str, "NDArray[np.float64]"]
"""Statistics by name, one entry along the first axis for each group."""


class _Watched(Mapping[str, "NDArray[np.float64]"]):
    """Statistics that record whether they were read: a scorer that reads none fits nothing."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.was_read = False

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        self.was_read = True
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


def fit(scorer: Scorer, read: Read) -> int:
    """Fit a scorer, and return the number of groups it was fitted to, 0 if it fits nothing."""
    watched = _Watched(read)
    scorer.fit(watched)
    return len(next(iter(read.values()))) if watched.was_read else 0


class Refits:
    """A scorer refitted without each block of fit groups.

    Group i belongs to block i mod g, for g = 10 blocks, or one block per group if there are fewer
    groups. The groups are in random order, so the blocks are random. Every scorer, epoch, OOD set
    and seed with the same groups has the same blocks.

    Arguments:
        build: Makes an unfitted scorer.
        fit: Statistics of all fit groups.
        in_: Statistics of the scored ID groups.

    Raises:
        ScoreError: There are too few fit groups.
    """

    def __init__(self, build: Callable[[], Scorer], fit: Read, in_: Read) -> None:
        groups = len(next(iter(fit.values())))
        if groups < LEAST_FIT:
            raise ScoreError(f"the fit has {groups} groups, fewer than {LEAST_FIT}")
        blocks = np.arange(groups) % min(BLOCKS, groups)
        self._scorers = []
        for block in range(blocks.max() + 1):
            self._scorers.append(build())
            self._scorers[-1].fit({name: all_[blocks != block] for name, all_ in fit.items()})
        self._scores_in = self._scores(in_)

    def aurocs(self, out: Read) -> NDArray[np.float64]:
        """Return the AUROC of each refit against OOD groups, float64, (g,)."""
        wins_out, wins_in = win_counts_by_row(self._scores_in, self._scores(out))
        found: NDArray[np.float64] = wins_out.sum(-1) / (
            2 * wins_in.shape[-1] * wins_out.shape[-1]
        )
        return found

    def _scores(self, read: Read) -> NDArray[np.float64]:
        return np.stack([np.asarray(x.score(read), np.float64) for x in self._scorers])
