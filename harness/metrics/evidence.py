"""Evidence behind AUROCs, and the variance of each part of an error: examples, fit, training.

- **Examples**: other test examples would give another AUROC (DeLong's covariance).
- **Fit**: a scorer fitted to other examples would give another AUROC (delete-a-tenth jackknife).
- **Training**: another training, with another seed, would give another AUROC (spread over seeds).

Arrays have a first axis of length K: one entry for each AUROC, or each difference of two AUROCs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.metrics.placements import (
    Floats,
    variance,
    variance_by_image,
    win_counts,
    win_counts_by_row,
)
from harness.results import Result

BLOCKS = 10
"""Number of blocks of fit groups; each refit leaves out one block."""

LEAST_FIT = 5
"""Minimum number of fit groups for an error of the fit."""

ROUNDING = 1e-12
"""Share of a variance below which a covariance is 0: at A = 1 it is 0 but for rounding, and a
correlation computed from the rest would be any number."""


@dataclass(frozen=True)
class Evidence:
    """The evidence behind K AUROCs, each a mean over S trainings scored on the same groups.

    In the evidence of a difference, every entry is the difference of two scorers.

    Attributes:
        wins_out: 2n V, float64, (K, S, m), see `placements.win_counts`.
        wins_in: 2m W, float64, (K, S, n).
        refits: AUROC without each block of fit groups, float64, (K, S, g); zeros, with any g, if
            nothing is fitted.
        is_by_image: True if OOD group i consists of copies of the images in ID group i.
    """

    wins_out: Floats
    wins_in: Floats
    refits: Floats
    is_by_image: bool = False

    @property
    def aurocs(self) -> Floats:
        """The AUROC of each training, or the difference of two AUROCs, float64, (K, S)."""
        n, m = self.wins_in.shape[-1], self.wins_out.shape[-1]
        found: Floats = self.wins_out.sum(-1) / (2 * n * m)
        return found

    def __sub__(self, other: Evidence) -> Evidence:
        """Return the evidence of the differences, training by training."""
        return Evidence(
            self.wins_out - other.wins_out,
            self.wins_in - other.wins_in,
            self.refits - other.refits,
            self.is_by_image,
        )

    def mean(self) -> Evidence:
        """Return the evidence of the means over the trainings, (K, 1, ...)."""
        if self.wins_out.shape[1] == 1:
            return self
        parts = (self.wins_out, self.wins_in, self.refits)
        wins_out, wins_in, refits = (part.mean(1, keepdims=True) for part in parts)
        return Evidence(wins_out, wins_in, refits, self.is_by_image)


class Variances(NamedTuple):
    """Variance of K means over S trainings, in parts, float64, (K,) each.

    The trainings share examples and fit, so the spread s² between trainings lacks the part c of
    the error that all trainings share. The variance of a mean is the larger of s²/S + c and v, the
    variance for the given trainings. With one training, c = v and the spread is unknown.

    Attributes:
        examples: c for other test examples: the mean covariance of two trainings, at least 0.
        fit: c for another fit.
        training: s²/S; 0 with one training.
        all_examples: v for other test examples.
        all_fit: v for another fit.
        df: Degrees of freedom of `training`; infinity with one training.
    """

    examples: Floats
    fit: Floats
    training: Floats
    all_examples: Floats
    all_fit: Floats
    df: Floats


def evidence_of(rows: Sequence[Sequence[Result]]) -> Evidence:
    """Collect the evidence behind results.

    Arguments:
        rows: K rows of S results, one per training; all with scores for the same number of groups,
            and with the same number of refits if any, and all `is_by_image` or none.

    Raises:
        ScoreError: A score is not finite, or a side has fewer than two groups.
    """
    distinct = {id(result): result for row in rows for result in row}
    places = {key: place for place, key in enumerate(distinct)}
    sides = [result.scores for result in distinct.values() if result.scores is not None]
    ins, outs = (np.array(scores, np.float64) for scores in zip(*sides, strict=True))
    wins_out, wins_in = win_counts_by_row(ins, outs)
    refits = np.zeros((len(sides), max(1, *map(refit_count, distinct.values()))))
    for place, result in enumerate(distinct.values()):
        if result.refits is not None:
            refits[place] = result.refits
    taken = np.array([[places[id(result)] for result in row] for row in rows])
    by_image = all(result.is_by_image for result in distinct.values())
    return Evidence(wins_out[taken], wins_in[taken], refits[taken], by_image)


def evidence_of_scores(
    scores_in: Floats,
    scores_out: Floats,
    refits: Floats | None = None,
    *,
    is_by_image: bool = False,
) -> Evidence:
    """Collect the evidence behind a single AUROC, K = S = 1.

    Arguments:
        scores_in: float64, (n,), scores of the ID groups, higher is more OOD; n >= 2.
        scores_out: float64, (m,), scores of the OOD groups; m >= 2.
        refits: float64, (g,), AUROC after each refit; None if nothing is fitted.
        is_by_image: See `Evidence`.

    Raises:
        ScoreError: A score is not finite, or a side has fewer than two groups.
    """
    wins_out, wins_in = win_counts(scores_in, scores_out)
    of_fit = np.zeros(1) if refits is None else refits
    parts = (wins_out[None, None], wins_in[None, None], of_fit[None, None])
    return Evidence(*parts, is_by_image)


def shape_of(result: Result) -> tuple[int, int, bool] | None:
    """Return the numbers of ID and OOD groups, and whether errors are by image.

    Results can be compared if these are equal. The value is None if the error of a result is
    unknown: without scores, or if the scorer was fitted and could not be refitted.
    """
    if result.scores is None or result.metrics is None:
        return None
    if result.refits is None and result.metrics.n_fit:
        return None
    return len(result.scores[0]), len(result.scores[1]), result.is_by_image


def refit_count(result: Result) -> int:
    """Return the number of refits of a result; 0 if nothing is fitted."""
    return 0 if result.refits is None else len(result.refits)


def variances(evidence: Evidence) -> Variances:
    """Compute the variance of the means over the trainings, in parts."""
    trainings, mean = evidence.wins_out.shape[1], evidence.mean()
    all_examples, all_fit = _of_examples(mean)[:, 0], _of_fit(mean)[:, 0]
    if trainings == 1:
        none, unknown = np.zeros_like(all_fit), np.full_like(all_fit, math.inf)
        return Variances(all_examples, all_fit, none, all_examples, all_fit, unknown)
    examples = _shared(_of_examples(evidence), all_examples)
    fit = _shared(_of_fit(evidence), all_fit)
    training = evidence.aurocs.var(1, ddof=1) / trainings
    df = np.full_like(training, trainings - 1)
    return Variances(examples, fit, training, all_examples, all_fit, df)


def _shared(each: Floats, whole: Floats) -> Floats:
    """Return c, the mean covariance of two trainings, at least 0.

    S² v = Σ_s C_ss + S (S - 1) c.

    Arguments:
        each: C_ss, the variance of each training, (K, S), S > 1.
        whole: v, the variance of the mean, (K,).
    """
    trainings = each.shape[1]
    shared = (trainings * whole - each.mean(1)) / (trainings - 1)
    return np.where(shared > ROUNDING * whole, shared, 0.0)


def _of_examples(evidence: Evidence) -> Floats:
    of = variance_by_image if evidence.is_by_image else variance
    return of(evidence.wins_out, evidence.wins_in)


def _of_fit(evidence: Evidence) -> Floats:
    """Compute the delete-a-block jackknife variance, (g - 1) / g Σ_k (A_(k) - mean)².

    Reference: The Jackknife, the Bootstrap and Other Resampling Plans (Efron, 1982), chapter 3.
    """
    blocks = evidence.refits.shape[-1]
    apart = evidence.refits - evidence.refits.mean(-1, keepdims=True)
    found: Floats = (blocks - 1) / blocks * (apart * apart).sum(-1)
    return found


def of_separate_trainings(a: Evidence, b: Evidence) -> Variances:
    """Compute the variances of mean differences between models that were trained separately.

    The training's part is s_a²/S_a + s_b²/S_b with Welch's degrees of freedom; the other parts
    are c_a + c_b - 2 cov, where cov is the mean covariance of a training of a with one of b.
    If a or b has a single training, the training's part is unknown and left out.

    Reference: The generalization of "Student's" problem when several different population
    variances are involved (Welch, 1947).
    """
    of_a, of_b = variances(a), variances(b)
    whole = variances(a.mean() - b.mean())
    # v of the difference is v_a + v_b - 2 cov, so that c_a + c_b - 2 cov is:
    examples = whole.examples + sum(x.examples - x.all_examples for x in (of_a, of_b))
    fit = whole.fit + sum(x.fit - x.all_fit for x in (of_a, of_b))
    training = of_a.training + of_b.training
    unknown = np.isinf(of_a.df) | np.isinf(of_b.df)
    squares = of_a.training**2 / of_a.df + of_b.training**2 / of_b.df
    welch = np.divide(training**2, squares, out=np.ones_like(squares), where=squares > 0)
    return Variances(
        np.where(unknown, whole.examples, np.maximum(0.0, examples)),
        np.where(unknown, whole.fit, np.maximum(0.0, fit)),
        np.where(unknown, 0.0, training),
        whole.examples,
        whole.fit,
        np.where(unknown, math.inf, welch),
    )
