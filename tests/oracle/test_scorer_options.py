"""What the scorers' sources do otherwise, each by its option and off by default."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from oodbench import ScoreError
from oodbench.testing import assert_conforms, check_scorer
from plugins.scorers._p_values import ecdf_tail
from plugins.scorers.combined_tests import combined_tests
from plugins.scorers.ensemble import Ensemble
from plugins.scorers.fisher import FisherDiagonal
from plugins.scorers.gradient_chi2 import GradientChi2
from plugins.scorers.gradient_gaussian import GradientGaussian
from plugins.scorers.gradient_svm import GradientSVM
from plugins.scorers.typicality import Typicality

NORMS, SIZES = "layer_gradient_sq_norms", "layer_sizes"


def norms(groups, layers, seed=0):
    return np.random.default_rng(seed).lognormal(3.0, 2.0, (groups, layers))


def literal(fit, evaluate, eps, power):
    """Eqs. 9 to 12 for all layers, with eps added to the variance before the power is taken."""
    scores = []
    for row in evaluate:
        total = 0.0
        for layer, norm in enumerate(row):
            phi = [math.log(other[layer] + eps) for other in fit]
            mean = sum(phi) / len(phi)
            variance = sum((value - mean) ** 2 for value in phi) / len(phi)
            spread = (variance + eps) ** power
            total += (math.log(norm + eps) - mean) ** 2 / spread + math.log(2 * math.pi * spread)
        scores.append(total / 2)
    return scores


@pytest.mark.parametrize("eps", [1e-10, 1e-3, 2.0])
@pytest.mark.parametrize(("formula", "power"), [("published-code", 1), ("paper-equations", 2)])
def test_the_variance_is_squared_in_the_equations_alone(formula, power, eps):
    fit, evaluate = norms(30, 7), norms(9, 7, seed=1)
    scorer = GradientGaussian(formula=formula, eps=eps).fit({NORMS: fit})
    expected = literal(fit.tolist(), evaluate.tolist(), eps, power)
    np.testing.assert_allclose(scorer.score({NORMS: evaluate}), expected, rtol=1e-10)


def test_the_equations_by_hand():
    # φ of 0 and 4 at the fit: mean 2, variance 4, squared 16; φ of 6 lies 4 from the mean.
    fit = {NORMS: np.exp([[0.0], [4.0]])}
    scorer = GradientGaussian(eps=1e-300, formula="paper-equations").fit(fit)
    constant = 0.5 * math.log(2 * math.pi * 16)
    scores = scorer.score({NORMS: np.exp([[6.0], [2.0]])})
    np.testing.assert_allclose(scores, [0.5 * 16 / 16 + constant, constant], rtol=1e-13)
    (terms,) = scorer.score_terms({NORMS: np.exp([[6.0], [2.0]])}).values()
    np.testing.assert_array_equal(terms, scores)


@pytest.mark.parametrize(("formula", "power"), [("published-code", 1), ("paper-equations", 2)])
def test_constant_layers_that_are_kept_decide_the_score(formula, power):
    fit, evaluate = norms(30, 7), norms(9, 7, seed=1)
    fit[:, [2, 5]] = 0.0
    evaluate[:, [2, 5]] = 0.0
    evaluate[4, 2] = 1e-13
    kept = GradientGaussian(formula=formula, constant_layers="keep").fit({NORMS: fit})
    assert kept.fit_info() == {"layers": 7, "layers_left_out": 0}
    scores = kept.score({NORMS: evaluate})
    expected = literal(fit.tolist(), evaluate.tolist(), 1e-10, power)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    assert scores.argmax() == 4
    rest = np.arange(9) != 4
    dropped = GradientGaussian(formula=formula).fit({NORMS: fit})
    difference = scores - dropped.score({NORMS: evaluate})
    constant = math.log(2 * math.pi * 1e-10**power)  # two layers, half of each
    np.testing.assert_allclose(difference[rest], constant, rtol=1e-9)
    assert difference[4] > constant + 1e3


def test_kept_constant_layers_are_last_among_the_top():
    fit = norms(30, 4)
    fit[:, 1] = 5.0
    scorer = GradientGaussian(constant_layers="keep", top_k=3).fit({NORMS: fit})
    assert scorer.kept_.tolist() == [True, False, True, True]
    alone = GradientGaussian(constant_layers="keep").fit({NORMS: np.ones((9, 2))})
    assert np.isfinite(alone.score({NORMS: norms(3, 2)})).all()


def chi2_norms(groups, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([s * rng.chisquare(k, groups) for s, k in ((7, 3), (1, 11), (2, 40))], axis=1)


def sizes(*numbers, groups):
    return np.tile(np.array(numbers, dtype=np.float64), (groups, 1))


def test_the_degrees_of_freedom_are_the_sizes_and_the_scale_follows_the_mean():
    fit, evaluate = chi2_norms(40), chi2_norms(9, seed=1)
    scorer = GradientChi2(eps=1e-30, degrees_of_freedom="elements")
    scorer.fit({NORMS: fit, SIZES: sizes(5, 20, 400, groups=40)})
    expected = np.zeros(9)
    for layer, k in enumerate((5, 20, 400)):
        f, x = fit[:, layer], evaluate[:, layer]
        expected -= stats.chi2.logpdf(x, df=k, scale=f.mean() / k) + np.log(x)
    inputs = {NORMS: evaluate, SIZES: sizes(5, 20, 400, groups=9)}
    np.testing.assert_allclose(scorer.score(inputs), expected, rtol=1e-11)
    moments = GradientChi2(eps=1e-30).fit({NORMS: fit}).score(inputs)
    assert not np.allclose(moments, expected, rtol=0.05)


def test_sizes_follow_the_chosen_layers():
    fit, evaluate = chi2_norms(40), chi2_norms(9, seed=1)
    options = {"layers": ("a", "c"), "degrees_of_freedom": "elements"}
    chosen, alone = GradientChi2(**options), GradientChi2(degrees_of_freedom="elements")
    names = ("a", "b", "c")
    chosen.name_features({NORMS: names, SIZES: names})
    chosen.fit({NORMS: fit, SIZES: sizes(3, 11, 40, groups=40)})
    alone.fit({NORMS: fit[:, [0, 2]], SIZES: sizes(3, 40, groups=40)})
    found = chosen.score({NORMS: evaluate, SIZES: sizes(3, 11, 40, groups=9)})
    inputs = {NORMS: evaluate[:, [0, 2]], SIZES: sizes(3, 40, groups=9)}
    np.testing.assert_allclose(found, alone.score(inputs), rtol=1e-12)


def test_sizes_are_read_for_the_elements_alone_and_belong_to_the_same_layers():
    assert GradientChi2().inputs == (NORMS,)
    scorer = GradientChi2(statistic="variant", degrees_of_freedom="elements")
    assert scorer.inputs == ("variant", SIZES)
    with pytest.raises(ScoreError, match="layer_sizes has other layers than variant"):
        scorer.name_features({"variant": ("a", "b"), SIZES: ("a", "c")})


def test_the_ecdf_by_hand_with_ties_on_both_sides():
    calibration = np.array([2.0, 5.0, 1.0, 2.0])
    found = ecdf_tail(calibration, np.array([0.0, 1.0, 1.5, 2.0, 5.0, 9.0]))
    np.testing.assert_allclose(found - 1e-8, [1.0, 0.75, 0.75, 0.25, 0.0, 0.0], atol=1e-16)
    assert found[-1] == pytest.approx(1e-8, rel=1e-12)


class First:
    """Scores by the first column of a statistic."""

    def __init__(self, name):
        self.inputs = (name,)

    def fit(self, statistics):
        return self

    def score(self, statistics):
        return statistics[self.inputs[0]][:, 0].copy()


@pytest.mark.parametrize("method", ["fisher", "harmonic-mean"])
def test_an_ensemble_with_the_ecdf(method):
    """Calibrated on 10, 30 and 20, 40: the groups at odd places."""
    fit = {"a": np.array([[0], [10.0], [0], [30]]), "b": np.array([[0], [20.0], [0], [40]])}
    scores = {"a": np.array([[10.0], [99]]), "b": np.array([[30.0], [0]])}
    ensemble = Ensemble(scorers=(First("a"), First("b")), method=method, p_values="ecdf")
    found = ensemble.fit(fit).score(scores)
    p = [(0.5 + 1e-8, 0.5 + 1e-8), (1e-8, 1 + 1e-8)]
    if method == "fisher":
        expected = [-2 * (math.log(first) + math.log(second)) for first, second in p]
    else:
        expected = [-math.log(2 / (1 / first + 1 / second)) for first, second in p]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_combined_tests_pass_their_p_values_on():
    rng = np.random.default_rng(0)
    fit, evaluate = (
        {
            "layer_fisher_diagonal": rng.lognormal(size=(n, 3)),
            "log_prob": rng.normal(size=(n, 1, 1)),
        }
        for n in (20, 9)
    )
    members = (FisherDiagonal(), Typicality())
    expected = Ensemble(scorers=members, p_values="ecdf").fit(fit).score(evaluate)
    found = combined_tests(p_values="ecdf").fit(fit).score(evaluate)
    np.testing.assert_array_equal(found, expected)
    assert not np.allclose(combined_tests().fit(fit).score(evaluate), expected)


def test_svm_and_chi2_leave_constant_layers_out_like_their_source():
    fit = norms(30, 3)
    fit[:, 1] = 0.0
    for scorer in (GradientSVM(), GradientChi2()):
        assert scorer.fit({NORMS: fit}).fit_info() == {"layers": 3, "layers_left_out": 1}


@pytest.mark.parametrize(
    "build",
    [
        lambda: GradientGaussian(formula="paper-equations"),
        lambda: GradientGaussian(constant_layers="keep"),
        lambda: GradientChi2(degrees_of_freedom="elements"),
        lambda: combined_tests(p_values="ecdf"),
    ],
)
def test_the_options_conform(build):
    assert_conforms(check_scorer(build))
