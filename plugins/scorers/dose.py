"""Density of states: a density estimate for the terms of a log-probability."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field

from oodbench import ScoreError
from plugins.scorers._base import Array, Mask, NamedColumns, Statistics, fitted
from plugins.scorers._one_class_svm import OneClassSVM

_MOST_PAIRS = 2**21
"""Maximum number of pairs with fit examples at a time, to limit memory."""


@dataclass(kw_only=True, eq=False)
class DoSE(NamedColumns):
    r"""Minus the log-density of log-probability and terms, estimated on the fit examples.

    s(X) = -1/b Σ_{x in X} Σ_j log KDE_j(T_j(x)),   T = (l, base, ladj)

    where l is the log-probability of x, base the log-density of the latents, ladj the log
    absolute determinant (for other models: the model's terms), and KDE_j the kernel density
    estimate

    KDE_j(t) = 1/n Σ_i N(t; T_j(x_i), h_j²),   h_j = sd_j n^(-1/5)                       (Scott)

    over the n fit examples x_i, where sd_j divides by n - 1. With `density = "svm"` instead

    s(X) = 1/b Σ_{x in X} (minus the decision function of a one-class SVM on standardised T(x)).

    Both densities detect unusually small and unusually large terms. Each example is scored
    individually and a group by the mean score, which is minus the joint log-density of the b
    examples divided by b. Terms that are constant on the fit examples, such as the bin width, are
    left out.

    Term names are expected in the form `kind` or `kind.level`, for example `base.1`: the part
    before the first dot is the kind of term.

    Departures from the paper: the authors fit to training examples (scorers here never see the
    train split), and use the one-class SVM and the bandwidths from scikit-learn with different
    settings.

    Arguments:
        terms: `total`: l and each kind of term summed over the levels; `levels`: l and every
            single term per level, for a model with levels.
        density: `kde`, a separate density per term, or `svm`, a joint machine for all terms.
        nu: SVM parameter: maximum fraction of fit examples outside the boundary, and minimum
            fraction of support vectors.

    References:
        | Density of States Estimation for Out-of-Distribution Detection (Morningstar et al., 2021)
        | https://arxiv.org/abs/2006.09273
    """

    name = "dose"
    statistic = "log_prob_terms"

    terms: Literal["total", "levels"] = "total"
    density: Literal["kde", "svm"] = "kde"
    nu: Annotated[float, Field(gt=0, le=1)] = 0.5

    kept_: Mask | None = field(default=None, init=False)
    density_: Callable[[Array], Array] | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Estimate the density of T over the fit examples.

        Arguments:
            statistics: `log_prob_terms`: float64, (M, b, F), in nats.

        Raises:
            ScoreError: Fewer than two examples are given, a term is not finite, or all terms are
                constant.
        """
        values = self._values(statistics[self.statistic])
        if len(values) < 2:
            raise ScoreError(f"{self.name} needs at least two fit examples, not {len(values)}")
        if not np.isfinite(values).all():
            raise ScoreError(f"{self.name}: log_prob_terms of the fit examples is not finite")
        kept = values.max(axis=0) > values.min(axis=0)
        if not kept.any():
            raise ScoreError(
                f"{self.name}: all terms are constant on the {len(values)} fit examples"
            )
        self.kept_ = kept
        values = values[:, kept]
        self.density_ = (
            OneClassSVM(values, self.nu) if self.density == "svm" else KernelDensities(values)
        )
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return the mean score over the examples in each group.

        Arguments:
            statistics: `log_prob_terms`: float64, (M, b, F), in nats.

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        density = fitted(self.density_, self.name)
        terms = statistics[self.statistic]
        scores = density(self._values(terms)[:, self.kept_])
        means: Array = scores.reshape(terms.shape[:2]).mean(axis=1)
        return means

    def _values(self, terms: Array) -> Array:
        """Return T for each example, float64, (M b, J)."""
        rows = terms.reshape(-1, terms.shape[-1])
        total = rows.sum(axis=1, keepdims=True)
        if self.terms == "levels":
            return np.hstack([total, rows])
        if self.names is None:
            raise ScoreError(f'{self.name} with terms = "total" needs the term names')
        kinds = [name.partition(".")[0] for name in self.names]
        sums = [
            rows[:, [place for place, other in enumerate(kinds) if other == kind]].sum(axis=1)
            for kind in dict.fromkeys(kinds)
        ]
        return np.hstack([total, np.stack(sums, axis=1)])


class KernelDensities:
    """Minus the sum over columns of the log Gaussian kernel density estimate per column.

    Far from all fit examples the sum grows like the square of the distance and stays finite.

    Arguments:
        x: Fit examples, float64, (n, J), without constant columns.
    """

    def __init__(self, x: Array) -> None:
        self._x = x
        self._bandwidth = x.std(axis=0, ddof=1) * len(x) ** -0.2

    def __call__(self, x: Array) -> Array:
        """Return -Σ_j log KDE_j, float64, (M,), for x, (M, J)."""
        chunks = range(0, len(x), max(1, _MOST_PAIRS // len(self._x)))
        return np.concatenate([self._chunk(x[at : at + chunks.step]) for at in chunks])

    def _chunk(self, x: Array) -> Array:
        scores = np.zeros(len(x))
        for column, bandwidth in enumerate(self._bandwidth):
            z = (x[:, column, None] - self._x[:, column]) / bandwidth  # (M, n)
            exponents = -0.5 * z**2
            largest = exponents.max(axis=1)  # factored out to avoid underflow of the sum
            logs = largest + np.log(np.exp(exponents - largest[:, None]).sum(axis=1))
            scores += math.log(len(self._x) * bandwidth * math.sqrt(2 * math.pi)) - logs
        return scores
