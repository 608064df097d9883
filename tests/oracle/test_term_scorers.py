"""Scorers of log-probabilities and their terms, against scipy, loops and hand numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import KernelDensity
from sklearn.svm import OneClassSVM

from harness.metrics.roc import auroc
from oodbench import NotFittedError, ScoreError, UnsupportedError
from oodbench.testing import assert_conforms, check_scorer
from plugins.scorers.dose import DoSE
from plugins.scorers.hierarchical_ratio import HierarchicalRatio
from plugins.scorers.typicality_test import TypicalityTest

TERMS = "log_prob_terms"
NAMES = ("base.0", "ladj.0", "base.1", "ladj.1", "bins")
KINDS = [[0, 1, 2, 3, 4], [0, 2], [1, 3]]
"""Columns that l, base and ladj are sums of."""


def terms(groups, size, seed, shift=0.0):
    """Terms of a two-level flow; the shift moves what a level does to an example, not l."""
    rng = np.random.default_rng(seed)
    values = 10.0 * rng.standard_normal((groups, size, 5)) - 100.0
    values[..., 0] -= shift
    values[..., 1] += shift
    values[..., 4] = -355.0
    return {TERMS: values}


def told(scorer):
    scorer.name_features({TERMS: NAMES})
    return scorer


def log_prob(values):
    return {"log_prob": np.asarray(values, dtype=np.float64)[..., None]}


# dose


@pytest.mark.parametrize("size", [1, 5])
def test_dose_is_the_kernel_density_of_scipy(size):
    fit, evaluate = terms(30, size, 0), terms(7, size, 1)
    scores = told(DoSE()).fit(fit).score(evaluate)
    expected = np.zeros((7, size))
    for columns in KINDS:
        estimate = stats.gaussian_kde(fit[TERMS][..., columns].sum(-1).ravel())  # Scott's rule
        values = evaluate[TERMS][..., columns].sum(-1)
        expected -= np.log(estimate(values.ravel())).reshape(values.shape)
    np.testing.assert_allclose(scores, expected.mean(1), rtol=1e-10)


def test_dose_by_level_is_the_kernel_density_of_scikit_learn():
    fit, evaluate = terms(30, 1, 0), terms(7, 1, 1)
    scores = DoSE(terms="levels").fit(fit).score(evaluate)
    expected = np.zeros(7)
    for columns in ([0, 1, 2, 3, 4], [0], [1], [2], [3]):
        x, y = (part[TERMS][:, 0, columns].sum(-1)[:, None] for part in (fit, evaluate))
        density = KernelDensity(bandwidth=x.std(ddof=1) * 30**-0.2).fit(x)
        expected -= density.score_samples(y)
    np.testing.assert_allclose(scores, expected, rtol=1e-10)


def test_dose_with_a_machine_is_that_of_scikit_learn():
    fit, evaluate = terms(20, 2, 0), terms(7, 2, 1)

    def statistics(of):
        return np.stack([of[TERMS][..., columns].sum(-1).ravel() for columns in KINDS], axis=1)

    x, y = statistics(fit), statistics(evaluate)
    machine = OneClassSVM(nu=0.2, gamma=1 / 3).fit((x - x.mean(0)) / x.std(0))
    expected = -machine.decision_function((y - x.mean(0)) / x.std(0)).reshape(7, 2).mean(1)
    found = told(DoSE(density="svm", nu=0.2)).fit(fit).score(evaluate)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_dose_far_off_is_finite_and_grows():
    scorer = told(DoSE()).fit(terms(30, 1, 0))
    far = [scorer.score({TERMS: factor * terms(1, 1, 1)[TERMS]})[0] for factor in (1e2, 1e4, 1e6)]
    assert np.isfinite(far).all()
    assert far[0] < far[1] < far[2]
    assert far[2] / far[1] == pytest.approx(1e4, rel=0.1)


def test_dose_in_chunks_is_the_same(monkeypatch):
    fit, evaluate = terms(30, 5, 0), terms(9, 5, 1)
    expected = told(DoSE()).fit(fit).score(evaluate)
    monkeypatch.setattr("plugins.scorers.dose._MOST_PAIRS", 400)
    np.testing.assert_allclose(told(DoSE()).fit(fit).score(evaluate), expected, rtol=1e-13)


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("density", ["kde", "svm"])
@pytest.mark.parametrize("by", ["total", "levels"])
def test_dose_finds_terms_that_moved_while_their_sum_did_not(by, density, size):
    scorer = told(DoSE(terms=by, density=density)).fit(terms(100, size, 0))
    for shift in (80.0, -80.0):
        scores_out = scorer.score(terms(100, size, 2, shift))
        assert auroc(scorer.score(terms(100, size, 1)), scores_out) > 0.95


def test_dose_refuses_what_it_cannot_fit():
    with pytest.raises(NotFittedError, match=r"^dose was asked for scores before it was fitted$"):
        DoSE().score(terms(3, 1, 0))
    with pytest.raises(ScoreError, match=r"^dose needs at least two fit examples, not 1$"):
        told(DoSE()).fit(terms(1, 1, 0))
    with pytest.raises(ScoreError, match=r"^dose: all terms are constant on the 6 fit examples$"):
        told(DoSE()).fit({TERMS: np.ones((2, 3, 5))})
    with pytest.raises(ScoreError, match=r"^dose: log_prob_terms of the fit examples is not fin"):
        told(DoSE()).fit({TERMS: np.full((2, 3, 5), np.nan)})
    with pytest.raises(ScoreError, match=r'^dose with terms = "total" needs the term names$'):
        DoSE().fit(terms(9, 1, 0))


# hierarchical-ratio


def test_hierarchical_ratio_by_hand():
    values = {TERMS: np.array([[[1.0, 2.0, 4.0, 8.0, -16.0], [3.0, 2.0, 5.0, 8.0, -16.0]]])}
    # upper: 12 and 13; all: -1 and 2
    assert told(HierarchicalRatio()).fit(values).score(values).tolist() == [(-25 - 24) / 2]
    assert told(HierarchicalRatio(form="upper")).fit(values).score(values).tolist() == [-12.5]


def test_hierarchical_ratio_counts_levels_from_the_image():
    names = ("base.0", "ladj.0", "base.1", "ladj.1", "base.2", "ladj.2", "bins")
    values = {TERMS: 10.0 ** np.arange(7).reshape(1, 1, 7)}
    for first, upper in ((1, 111100.0), (2, 110000.0)):
        for form, expected in (("upper", -upper), ("ratio", 1111111.0 - 2**first * upper)):
            scorer = HierarchicalRatio(from_level=first, form=form)
            scorer.name_features({TERMS: names})
            assert scorer.fit(values).score(values).tolist() == [expected]


def test_the_ratio_of_a_standard_normal_is_that_of_its_densities_per_dimension():
    """Half of 8 dimensions leave at the first split: D (mean log N of all - of the upper half)."""
    log_density = stats.norm.logpdf(np.random.default_rng(0).standard_normal((6, 8)))
    rows = np.zeros((6, 1, 5))
    rows[:, 0, 0], rows[:, 0, 2] = log_density[:, :4].sum(1), log_density[:, 4:].sum(1)
    expected = 8 * (log_density.mean(1) - log_density[:, 4:].mean(1))
    scores = told(HierarchicalRatio()).fit({TERMS: rows}).score({TERMS: rows})
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_hierarchical_ratio_needs_levels():
    scorer = HierarchicalRatio()
    scorer.name_features({TERMS: ("base", "ladj", "bins")})
    with pytest.raises(UnsupportedError) as error:
        scorer.fit({TERMS: np.ones((2, 1, 3))})
    assert str(error.value) == (
        "hierarchical-ratio: no term belongs to level 1 or above; the terms are base, ladj, bins"
    )
    with pytest.raises(NotFittedError, match=r"^hierarchical-ratio was asked for scores before"):
        HierarchicalRatio().score(terms(3, 1, 0))


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("form", ["ratio", "upper"])
def test_simpler_details_or_stranger_wholes_are_ood(form, size):
    scorer = told(HierarchicalRatio(form=form)).fit(terms(50, size, 0))
    outside = terms(50, size, 2)
    outside[TERMS][..., 1 if form == "ratio" else 3] += 60.0 if form == "ratio" else -60.0
    assert auroc(scorer.score(terms(50, size, 1)), scorer.score(outside)) > 0.95


# typicality-test


def literal_p_values(fit, evaluate, *, resamples, seed):
    """The test one number at a time, with exact fractions."""
    nats = [-value for group in fit for value in group]
    first, second = nats[::2], nats[1::2]
    entropy = sum(first) / len(first)
    drawn = np.random.default_rng(seed).choice(second, (resamples, len(fit[0])))
    distances = [abs(sum(group) / len(group) - entropy) for group in drawn.tolist()]
    found = []
    for group in evaluate:
        distance = abs(-sum(group) / len(group) - entropy)
        as_far = sum(1 for other in distances if other >= distance)
        found.append(Fraction(1 + as_far, resamples + 1))
    return found


@pytest.mark.parametrize("size", [1, 5])
def test_the_p_values_against_the_literal_algorithm(size):
    rng = np.random.default_rng(0)
    fit, evaluate = (rng.standard_normal((n, size)) * 30 - 1000 for n in (30, 12))
    evaluate[-1] -= 500.0
    scores = TypicalityTest(resamples=99, seed=4).fit(log_prob(fit)).score(log_prob(evaluate))
    expected = literal_p_values(fit.tolist(), evaluate.tolist(), resamples=99, seed=4)
    np.testing.assert_allclose(scores, [-math.log(p) for p in expected], rtol=1e-12)
    assert expected[-1] == Fraction(1, 100)


def test_distances_that_are_equal_count_as_as_far():
    # H = 2 of the even-numbered; the odd-numbered are all 3, so every distance is 1
    scorer = TypicalityTest(resamples=19).fit(log_prob([[-2.0], [-3.0]] * 4))
    scores = scorer.score(log_prob([[-1.0], [-3.0], [-2.0], [-3.5]]))
    np.testing.assert_allclose(scores, [0.0, 0.0, 0.0, math.log(20)], atol=1e-15)


@pytest.mark.parametrize(("level", "resamples"), [(0.05, 99), (0.1, 199), (0.29, 99), (0.5, 1)])
def test_above_the_threshold_is_p_below_the_level(level, resamples):
    fit = np.random.default_rng(0).standard_normal((60, 5)) * 30 - 1000
    scorer = TypicalityTest(level=level, resamples=resamples).fit(log_prob(fit))
    assert len(set(scorer.distances_)) == resamples  # no two drawn groups are the same
    info = scorer.fit_info()
    assert (info["entropy"], info["level"]) == (pytest.approx(-fit.ravel()[::2].mean()), level)
    threshold = info["threshold"]
    assert threshold in scorer.distances_
    near, far = threshold - 1e-9, threshold + 1e-9
    scores = scorer.score(log_prob([[-info["entropy"] - d] * 5 for d in (near, far)]))
    assert scores[0] < -math.log(level)
    assert scores[1] >= -math.log(level) - 1e-12


@pytest.mark.parametrize("size", [1, 5])
def test_the_level_is_kept_and_both_sides_are_ood(size):
    rng = np.random.default_rng(1)
    scorer = TypicalityTest(resamples=2000).fit(log_prob(rng.standard_normal((2000, size))))
    scores_in = scorer.score(log_prob(rng.standard_normal((4000, size))))
    assert (scores_in >= -math.log(0.05)).mean() == pytest.approx(0.05, abs=0.02)
    for shift in (5.0, -5.0):
        scores_out = scorer.score(log_prob(rng.standard_normal((100, size)) + shift))
        assert auroc(scores_in, scores_out) > 0.95


def test_the_test_refuses_what_it_cannot_fit():
    cases = [
        (TypicalityTest(), np.zeros((1, 1)), "typicality-test needs at least two fit examples"),
        (TypicalityTest(), np.full((9, 1), -np.inf), "typicality-test: log_prob of the fit"),
        (
            TypicalityTest(resamples=18),
            np.zeros((9, 1)),
            "typicality-test: 18 resamples are too few for p-values as small as level = 0.05; at "
            "least 19 are needed",
        ),
    ]
    for scorer, values, message in cases:
        with pytest.raises(ScoreError, match=f"^{message}"):
            scorer.fit(log_prob(values))
    for call in (lambda: TypicalityTest().score(log_prob([[0.0]])), TypicalityTest().fit_info):
        with pytest.raises(NotFittedError, match=r"^typicality-test was asked for"):
            call()


@pytest.mark.parametrize(
    "build",
    [
        lambda: DoSE(terms="levels"),
        lambda: DoSE(density="svm"),
        lambda: HierarchicalRatio(form="upper"),
    ],
)
def test_variants_conform(build):
    assert_conforms(check_scorer(build))
