"""The ensemble against loops over its equations, and what its members may see."""

from __future__ import annotations

import math

import numpy as np
import pytest

from oodbench import NotFittedError, ScoreError
from plugins.scorers._p_values import upper_tail
from plugins.scorers.combined_tests import combined_tests
from plugins.scorers.ensemble import Ensemble, combined
from plugins.scorers.fisher import FisherDiagonal
from plugins.scorers.gradient_gaussian import GradientGaussian
from plugins.scorers.log_likelihood import LogLikelihood
from plugins.scorers.typicality import Typicality

NORMS = "layer_gradient_sq_norms"
FISHER = "layer_fisher_diagonal"


class Column:
    """Scores by one column of a statistic; keeps what it was fitted to and asked to score."""

    def __init__(self, name):
        self.inputs = (name,)
        self.fitted = []
        self.scored = []

    def fit(self, statistics):
        self.fitted.append({name: values.copy() for name, values in statistics.items()})
        return self

    def score(self, statistics):
        self.scored.append({name: values.copy() for name, values in statistics.items()})
        return statistics[self.inputs[0]][:, 0].copy()


def groups(*values):
    return np.array(values, dtype=np.float64)[:, None]


def literal(calibrations, scores, method):
    """The docstring's equations, one number at a time, for scores (k, M)."""
    found = []
    for group in range(len(scores[0])):
        p = []
        for calibration, own in zip(calibrations, scores, strict=True):
            above = sum(1 for value in calibration if value >= own[group])
            p.append((1 + above) / (len(calibration) + 1))
        if method == "fisher":
            found.append(-2 * sum(math.log(value) for value in p))
        else:
            found.append(-math.log(len(p) / sum(1 / value for value in p)))
    return found


def test_p_values_by_hand_with_ties_on_both_sides():
    calibration = np.array([2.0, 5.0, 1.0, 2.0])
    found = upper_tail(calibration, np.array([0.0, 1.0, 1.5, 2.0, 5.0, 9.0]))
    assert found.tolist() == [1.0, 1.0, 0.8, 0.8, 0.4, 0.2]


def test_combinations_by_hand():
    p = np.array([[0.5, 1.0], [0.25, 1.0]])
    assert combined(p, "fisher") == pytest.approx([-2 * math.log(0.125), 0.0], abs=1e-15)
    assert combined(p, "harmonic-mean") == pytest.approx([-math.log(2 / 6), 0.0], abs=1e-15)


@pytest.mark.parametrize("method", ["fisher", "harmonic-mean"])
def test_it_is_the_literal_equations_on_the_second_half(method):
    rng = np.random.default_rng(0)
    fit = {"a": rng.integers(0, 9, (21, 1)).astype(float), "b": rng.normal(size=(21, 1))}
    evaluate = {"a": rng.integers(0, 9, (8, 1)).astype(float), "b": rng.normal(size=(8, 1))}
    first, second = Column("a"), Column("b")
    ensemble = Ensemble(scorers=(first, second), method=method)
    assert ensemble.inputs == ("a", "b")
    scores = ensemble.fit(fit).score(evaluate)
    calibrations = [fit[name][1::2, 0].tolist() for name in "ab"]
    expected = literal(calibrations, [evaluate[name][:, 0].tolist() for name in "ab"], method)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-13)
    assert ensemble.fit_info() == {"calibration_groups": 10}


def test_members_see_their_own_inputs_and_the_first_half_of_the_fit_groups_only():
    first, second = Column("a"), Column("b")
    fit = {"a": groups(0, 1, 2, 3, 4), "b": groups(10, 11, 12, 13, 14)}
    evaluate = {"a": groups(100, 101), "b": groups(110, 111)}
    Ensemble(scorers=(first, second)).fit(fit).score(evaluate)
    for member, name, start in ((first, "a", 0), (second, "b", 10)):
        (fitted,) = member.fitted
        calibration, scored = member.scored
        assert {key: value[:, 0].tolist() for key, value in fitted.items()} == {
            name: [start, start + 2, start + 4]
        }
        assert {key: value[:, 0].tolist() for key, value in calibration.items()} == {
            name: [start + 1, start + 3]
        }
        assert {key: value[:, 0].tolist() for key, value in scored.items()} == {
            name: [start + 100, start + 101]
        }


def test_inputs_are_those_of_all_members_each_once():
    ensemble = Ensemble(scorers=(LogLikelihood(), GradientGaussian(), Typicality()))
    assert ensemble.inputs == ("log_prob", NORMS)
    assert combined_tests().inputs == (FISHER, "log_prob")


@pytest.mark.parametrize("method", ["fisher", "harmonic-mean"])
def test_combined_tests_are_the_ensemble_of_both(method):
    rng = np.random.default_rng(3)
    fit, evaluate = (planted(rng, 5, count, -1000.0, 1.0) for count in (40, 9))
    members = (FisherDiagonal(), Typicality())
    expected = Ensemble(scorers=members, method=method).fit(fit).score(evaluate)
    assert np.array_equal(combined_tests(method=method).fit(fit).score(evaluate), expected)


class Told(Column):
    def name_features(self, features):
        self.features = features


def test_members_that_want_to_know_are_told_what_their_columns_are():
    plain, told, inner = Column("a"), Told("b"), Told("a")
    nested = Ensemble(scorers=(inner, Column("b")))
    Ensemble(scorers=(plain, told, nested)).name_features({"a": ["one"], "b": ["x", "y"]})
    assert told.features == {"b": ["x", "y"]}
    assert inner.features == {"a": ["one"]}


def planted(rng, size, groups, log_prob, norm):
    return {
        "log_prob": rng.normal(log_prob, 30.0, (groups, size, 1)),
        NORMS: rng.lognormal(norm, 0.5, (groups, 4)),
        FISHER: rng.lognormal(norm, 0.5, (groups, 4)),
    }


@pytest.mark.parametrize("method", ["fisher", "harmonic-mean"])
@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("shift", [(150.0, 0.0), (0.0, 2.0)], ids=["density", "gradient"])
def test_what_one_member_sees_is_ood(method, size, shift):
    rng = np.random.default_rng(1)
    fit, inside = (planted(rng, size, count, -1000.0, 1.0) for count in (200, 60))
    outside = planted(rng, size, 60, -1000.0 + shift[0], 1.0 + shift[1])
    scorer = combined_tests(method=method).fit(fit)
    low, high = scorer.score(inside), scorer.score(outside)
    assert (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean() > 0.9


def test_an_ensemble_of_ensembles():
    rng = np.random.default_rng(2)
    fit, inside = (planted(rng, 1, count, -1000.0, 1.0) for count in (100, 30))
    inner = Ensemble(scorers=(LogLikelihood(), Typicality()))
    scorer = Ensemble(scorers=(inner, GradientGaussian()), method="harmonic-mean").fit(fit)
    assert scorer.score(inside).shape == (30,)
    assert inner.fit_info() == {"calibration_groups": 25}


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_groups(count):
    ensemble = Ensemble(scorers=(LogLikelihood(), Typicality()))
    with pytest.raises(ScoreError) as error:
        ensemble.fit({"log_prob": np.zeros((count, 1, 1))})
    assert str(error.value) == f"ensemble needs at least two fit groups, not {count}"


def test_a_score_that_is_no_number_is_named():
    ensemble = Ensemble(scorers=(Column("a"), Column("b")))
    fit = {"a": groups(0, 1, 2), "b": groups(0, 1, 2)}
    ensemble.fit(fit)
    with pytest.raises(ScoreError) as error:
        ensemble.score({**fit, "b": groups(0, np.nan, 2)})
    message = "ensemble: scorer 2 (Column) gave non-finite scores to 1 of 3 groups"
    assert str(error.value) == message


def test_one_scorer_is_no_ensemble():
    with pytest.raises(ScoreError, match=r"^ensemble combines two or more scorers, not 1$"):
        Ensemble(scorers=(Typicality(),))


def test_unfitted():
    ensemble = Ensemble(scorers=(LogLikelihood(), Typicality()))
    with pytest.raises(NotFittedError, match="^ensemble was asked for scores before it was"):
        ensemble.score({})
    with pytest.raises(NotFittedError, match="^ensemble was asked for its fit before it was"):
        ensemble.fit_info()
