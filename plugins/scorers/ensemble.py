"""Combination of several scorers through p-values calibrated on fit groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import numpy as np

from oodbench import NeedsFeatureNames, NeedsNormalized, ScoreError, Scorer
from plugins.scorers._base import Array, Statistics, fitted
from plugins.scorers._p_values import P_VALUES, PValues


class Ensemble:
    r"""Scorers combined through p-values, which are calibrated on held-out fit groups.

    The first, third, ... fit groups fit the members, and the n remaining fit groups calibrate
    each member j:

    p_j(X) = (1 + #{calibration groups Y: s_j(Y) >= s_j(X)}) / (n + 1)

    fisher:         s(X) = -2 Σ_j log p_j(X)
    harmonic-mean:  s(X) = -log( k / Σ_j 1/p_j(X) ),  k members

    Tests on the same group are dependent, so s is not a p-value in either form: Fisher's
    statistic follows a chi-square distribution with 2k degrees of freedom for independent tests
    only. Only the ranking by s is used, which does not require a distribution.

    A p-value takes n + 1 values, with a minimum at 1 / (n + 1): groups beyond all calibration
    groups are tied, and the AUROC counts ties as one half. Ties are not broken, because a
    smoothed tail would add a model for the tail. The loss is small for n in the hundreds, and
    grows as n decreases, for example with large groups.

    Departures from the code by Bergamin et al.:
        The code uses p = 1 - ECDF + 1e-8; `p_values = "ecdf"` restores this formula. The code
        fits and calibrates on the train split; scorers here never see the train split, and use
        separate halves of the fit groups, because scores of the groups that a member was fitted
        to are too small.

    Arguments:
        scorers: Names of two or more scorers, defined in the suite or by plugins.
        method: Combination rule for the p-values: `fisher` or `harmonic-mean`.
        p_values: Formula for a p-value: `rank`, as above, or `ecdf`,
            1 - #{s_j(Y) <= s_j(X)} / n + 1e-8.

    Raises:
        ScoreError: Fewer than two scorers are given.

    Attributes:
        calibration_: Scores of the calibration groups for each member, float64, (n,).

    References:
        | Statistical Methods for Research Workers (Fisher, 1932)
        | The harmonic mean p-value for combining dependent tests (Wilson, 2019)
        | https://doi.org/10.1073/pnas.1814092116
        | Model-agnostic out-of-distribution detection using combined statistical tests
          (Bergamin et al., 2022), the source for p-values and combination methods
        | https://arxiv.org/abs/2203.01097
    """

    name = "ensemble"

    calibration_: Sequence[Array] | None = None

    def __init__(
        self,
        *,
        scorers: tuple[Scorer, ...],
        method: Literal["fisher", "harmonic-mean"] = "fisher",
        p_values: PValues = "rank",
    ) -> None:
        if len(scorers) < 2:
            raise ScoreError(f"{self.name} combines two or more scorers, not {len(scorers)}")
        self.scorers = scorers
        self.method = method
        self.p_values = p_values

    @property
    def inputs(self) -> tuple[str, ...]:
        """Statistics read by the members, without duplicates."""
        return tuple(dict.fromkeys(name for member in self.scorers for name in member.inputs))

    @property
    def needs_normalized(self) -> bool:
        """Whether a member needs normalized log-probabilities."""
        return any(isinstance(x, NeedsNormalized) and x.needs_normalized for x in self.scorers)

    def name_features(self, features: Mapping[str, Sequence[str]]) -> None:
        """Pass column names to the members with a use for them.

        Arguments:
            features: Column names for each statistic in `inputs`.
        """
        for member in self.scorers:
            if isinstance(member, NeedsFeatureNames):
                member.name_features({name: features[name] for name in member.inputs})

    def fit(self, statistics: Statistics) -> Self:
        """Fit the members on half of the groups and calibrate them on the other half.

        Arguments:
            statistics: All `inputs`, float64, (M, b, F) or (M, F).

        Raises:
            ScoreError: Fewer than two groups are given, a member cannot be fitted to the first
                half, or a calibration group gets a score that is not finite.
        """
        groups = len(statistics[self.inputs[0]])
        if groups < 2:
            raise ScoreError(f"{self.name} needs at least two fit groups, not {groups}")
        read = {name: statistics[name] for name in self.inputs}
        first = {name: values[0::2] for name, values in read.items()}
        second = {name: values[1::2] for name, values in read.items()}
        for member in self.scorers:
            member.fit(_read_by(member, first))
        self.calibration_ = self._scores(second)
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return the combined p-values for each group.

        Arguments:
            statistics: All `inputs`, float64, (M, b, F) or (M, F).

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A group gets a score that is not finite from a member.
        """
        calibrations = fitted(self.calibration_, self.name)
        pairs = zip(self._scores(statistics), calibrations, strict=True)
        upper_tail = P_VALUES[self.p_values]
        p = np.stack([upper_tail(calibration, scores) for scores, calibration in pairs])  # (k, M)
        return combined(p, self.method)

    def fit_info(self) -> dict[str, float | int | str]:
        """Return the number n of calibration groups; the smallest rank p-value is 1 / (n + 1).

        Raises:
            NotFittedError: `fit` was not called.
        """
        return {"calibration_groups": len(fitted(self.calibration_, self.name, "its fit")[0])}

    def _scores(self, statistics: Statistics) -> Sequence[Array]:
        """Return the scores from each member, after a check: NaN would count as a low p-value."""
        found = []
        for number, member in enumerate(self.scorers, 1):
            scores = member.score(_read_by(member, statistics))
            bad = int((~np.isfinite(scores)).sum())
            if bad:
                raise ScoreError(
                    f"{self.name}: scorer {number} ({type(member).__name__}) gave non-finite "
                    f"scores to {bad} of {len(scores)} groups"
                )
            found.append(scores)
        return found


def combined(p: Array, method: Literal["fisher", "harmonic-mean"]) -> Array:
    """Combine p-values from k tests.

    Arguments:
        p: P-values, float64, (k, M), positive.
        method: `fisher`, -2 Σ log p, or `harmonic-mean`, -log(k / Σ 1/p).

    Returns:
        float64, (M,), not negative if no p-value is above 1; higher is more OOD.
    """
    if method == "fisher":
        found: Array = -2.0 * np.log(p).sum(axis=0)
    else:
        found = np.log((1.0 / p).mean(axis=0))
    return found


def _read_by(member: Scorer, statistics: Statistics) -> dict[str, Array]:
    return {name: statistics[name] for name in member.inputs}
