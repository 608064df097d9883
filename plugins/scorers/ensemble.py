"""Several scorers as one: their scores made p-values on fit groups, and combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import numpy as np

from oodbench import NeedsFeatureNames, ScoreError, Scorer
from plugins.scorers._base import Array, Statistics, fitted
from plugins.scorers._p_values import upper_tail

_NAME = "ensemble"


class Ensemble:
    r"""Scorers combined by p-values, calibrated on fit groups that they were not fitted on.

    Of the fit groups in their order, the first, third, ... fit the members, and the n others
    calibrate each member j:

    p_j(X) = (1 + #{calibration groups Y: s_j(Y) >= s_j(X)}) / (n + 1)

    fisher:         s(X) = -2 Σ_j log p_j(X)
    harmonic-mean:  s(X) = -log( k / Σ_j 1/p_j(X) ),  k members

    Tests of one group depend on each other, so neither is itself a p-value: Fisher's would be
    chi-square with 2k degrees of freedom for independent tests only. Nothing but the ranking by s
    is used, and that needs no distribution.

    A p-value has n + 1 values and none below 1 / (n + 1): groups beyond all calibration groups
    are tied, which the AUROC counts half. No tie is broken: a smoothed tail would bring in a
    model of it. The loss is small where n is a few hundred and grows as n falls, as it does for
    large groups.

    Arguments:
        scorers: Names of two or more scorers, of the suite or of plugins.
        method: How p-values are combined.

    Raises:
        ScoreError: There are fewer than two scorers.

    Attributes:
        calibration_: For each member its scores of the calibration groups, float64, (n,).

    References:
        | Statistical Methods for Research Workers (Fisher, 1932)
        | The harmonic mean p-value for combining dependent tests (Wilson, 2019)
        | https://doi.org/10.1073/pnas.1814092116
        | Model-agnostic out-of-distribution detection using combined statistical tests
          (Bergamin et al., 2022), whose p-values and methods these are
        | https://arxiv.org/abs/2203.01097
    """

    calibration_: Sequence[Array] | None = None

    def __init__(
        self,
        *,
        scorers: tuple[Scorer, ...],
        method: Literal["fisher", "harmonic-mean"] = "fisher",
    ) -> None:
        if len(scorers) < 2:
            raise ScoreError(f"{_NAME} combines two or more scorers, not {len(scorers)}")
        self.scorers = scorers
        self.method = method

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the members read, each once."""
        return tuple(dict.fromkeys(name for member in self.scorers for name in member.inputs))

    def name_features(self, features: Mapping[str, Sequence[str]]) -> None:
        """Tell members that want to know what the columns of their statistics are.

        Arguments:
            features: For each of `inputs` the names of the columns.
        """
        for member in self.scorers:
            if isinstance(member, NeedsFeatureNames):
                member.name_features({name: features[name] for name in member.inputs})

    def fit(self, statistics: Statistics) -> Self:
        """Fit the members on one half of the groups and calibrate them on the other.

        Arguments:
            statistics: The inputs: float64, (M, b, F) or (M, F).

        Raises:
            ScoreError: There are fewer than two groups, a member cannot be fitted to its half, or
                gives a calibration group a score that is not finite.
        """
        groups = len(statistics[self.inputs[0]])
        if groups < 2:
            raise ScoreError(f"{_NAME} needs at least two fit groups, not {groups}")
        read = {name: statistics[name] for name in self.inputs}
        first = {name: values[0::2] for name, values in read.items()}
        second = {name: values[1::2] for name, values in read.items()}
        for member in self.scorers:
            member.fit(_read_by(member, first))
        self.calibration_ = self._scores(second)
        return self

    def score(self, statistics: Statistics) -> Array:
        """The combined p-values of each group.

        Arguments:
            statistics: The inputs: float64, (M, b, F) or (M, F).

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
            ScoreError: A member gives a group a score that is not finite.
        """
        calibrations = fitted(self.calibration_, _NAME)
        pairs = zip(self._scores(statistics), calibrations, strict=True)
        p = np.stack([upper_tail(calibration, scores) for scores, calibration in pairs])  # (k, M)
        return combined(p, self.method)

    def fit_info(self) -> dict[str, float | int | str]:
        """How many groups calibrate: no p-value is below 1 / (n + 1).

        Raises:
            NotFittedError: `fit` was not called.
        """
        return {"calibration_groups": len(fitted(self.calibration_, _NAME, "its fit")[0])}

    def _scores(self, statistics: Statistics) -> Sequence[Array]:
        """The scores of each member: a score that is no number would pass for a low p-value."""
        found = []
        for number, member in enumerate(self.scorers, 1):
            scores = member.score(_read_by(member, statistics))
            bad = int((~np.isfinite(scores)).sum())
            if bad:
                raise ScoreError(
                    f"{_NAME}: scorer {number} ({type(member).__name__}) gave {bad} of "
                    f"{len(scores)} groups scores that are not finite"
                )
            found.append(scores)
        return found


def combined(p: Array, method: Literal["fisher", "harmonic-mean"]) -> Array:
    """The combination of the p-values of k tests.

    Arguments:
        p: float64, (k, M), in (0, 1].
        method: `fisher`, -2 Σ log p, or `harmonic-mean`, -log(k / Σ 1/p).

    Returns:
        float64, (M,), never negative; higher is more OOD.
    """
    if method == "fisher":
        found: Array = -2.0 * np.log(p).sum(axis=0)
    else:
        found = np.log((1.0 / p).mean(axis=0))
    return found


def _read_by(member: Scorer, statistics: Statistics) -> dict[str, Array]:
    return {name: statistics[name] for name in member.inputs}
