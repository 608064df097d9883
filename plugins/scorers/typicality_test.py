"""Bootstrap test for typicality, as p-values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Self

import numpy as np
from pydantic import Field

from oodbench import ScoreError
from plugins.scorers._base import Array, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class TypicalityTest:
    r"""Minus the log p-value in a test for membership in the typical set.

    d(X) = | -1/b Σ_{x in X} log p(x) - H |
    p(X) = (1 + #{k : d(X_k) >= d(X)}) / (K + 1),   s(X) = -log p(X)

    over K groups X_k with b examples each, drawn with replacement (Algorithm 1). A group is
    flagged at any level α if s(X) >= -log α, and at `level` if d(X) exceeds the threshold reported
    by `fit_info`. Because p decreases with d, groups are ranked as by `typicality` with this H,
    except for ties: groups with equal p tie, for example all groups farther away than every X_k.

    Departures from the paper: H and the bootstrap groups come from two halves of the fit examples
    (even-numbered and odd-numbered), not from the train and the validation split, since scorers
    here never see the train split. The two halves must be disjoint: otherwise H would fit the
    bootstrap groups better than other groups. The count in p includes the group, so p is never 0.

    Arguments:
        level: Significance level for the threshold: the fraction of ID groups to flag.
        resamples: K; K + 1 must be at least 1 / level.
        seed: Seed for the bootstrap.

    Attributes:
        entropy_: H, the mean of -log p over the even-numbered fit examples, in nats.
        distances_: d(X_k), float64, (K,), ascending, in nats.

    References:
        | Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality
          (Nalisnick et al., 2019)
        | https://arxiv.org/abs/1906.02994
    """

    name = "typicality-test"
    inputs = ("log_prob",)

    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    resamples: Annotated[int, Field(ge=1)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0

    entropy_: float | None = field(default=None, init=False)
    distances_: Array | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Estimate the entropy, and the distances of bootstrap groups from the entropy.

        Arguments:
            statistics: `log_prob`: float64, (M, b, 1), in nats.

        Raises:
            ScoreError: Fewer than two examples are given, a log-probability is not finite, or
                `resamples` is too small for the level.
        """
        nats = -statistics["log_prob"].ravel()
        if nats.size < 2:
            raise ScoreError(f"{self.name} needs at least two fit examples, not {nats.size}")
        if not np.isfinite(nats).all():
            raise ScoreError(f"{self.name}: log_prob of the fit examples is not finite")
        if self._beyond < 0:
            least = math.ceil(1 / self.level) - 1
            raise ScoreError(
                f"{self.name}: {self.resamples} resamples are too few for p-values as small as "
                f"level = {self.level}; at least {least} are needed"
            )
        size = statistics["log_prob"].shape[1]
        drawn = np.random.default_rng(self.seed).choice(nats[1::2], (self.resamples, size))
        self.entropy_ = float(nats[::2].mean())
        self.distances_ = np.sort(np.abs(drawn.mean(axis=1) - self.entropy_))
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return minus the log p-value for each group.

        Arguments:
            statistics: `log_prob`: float64, (M, b, 1), in nats; b as in the fit.

        Returns:
            float64, (M,), from 0 to log(K + 1); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        entropy, distances = fitted(self.entropy_, self.name), fitted(self.distances_, self.name)
        nats = -statistics["log_prob"][:, :, 0].mean(axis=1)
        below = np.searchsorted(distances, np.abs(nats - entropy), side="left")
        scores: Array = -np.log((1 + self.resamples - below) / (self.resamples + 1))
        return scores

    def fit_info(self) -> dict[str, float | int | str]:
        """Return the entropy, the level, and the threshold distance for flagged groups, in nats.

        Raises:
            NotFittedError: `fit` was not called.
        """
        entropy = fitted(self.entropy_, self.name, "its fit")
        threshold = float(fitted(self.distances_, self.name, "its fit")[-1 - self._beyond])
        return {"entropy": entropy, "level": self.level, "threshold": threshold}

    @property
    def _beyond(self) -> int:
        """Maximum number of bootstrap distances at or above a flagged group's: p <= level."""
        # Rounding may leave an integer product one ulp below the integer.
        return math.floor(self.level * (self.resamples + 1) * (1 + 1e-12)) - 1
