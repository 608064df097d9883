"""Scorers of layers' gradient norms against scipy, scikit-learn, hand numbers and derivatives."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.ensemble import IsolationForest

from harness.metrics.roc import auroc
from oodbench import NotFittedError, ScoreError
from plugins.scorers.gradient_chi2 import GradientChi2
from plugins.scorers.gradient_gaussian import GradientGaussian
from plugins.scorers.gradient_iforest import GradientIForest
from plugins.scorers.gradient_norm import GradientNorm
from plugins.scorers.gradient_svm import GradientSVM

NORMS = "layer_gradient_sq_norms"
SCORERS = [GradientGaussian, GradientNorm, GradientChi2, GradientSVM, GradientIForest]
NAMES = (
    "levels.0.steps.0.norm.bias",
    "levels.0.steps.0.conv.weight",
    "levels.1.steps.0.norm.bias",
    "levels.1.steps.0.conv.weight",
    "top.log_scale",
)


def chi2_norms(groups, size, seed, scale=1.0):
    """Squared norms of b summed Gaussian gradients of 3, 5, ... parameters per layer."""
    rng = np.random.default_rng(seed)
    columns = [
        (rng.standard_normal((groups, size, 2 * layer + 3)).sum(1) ** 2).sum(1) * 10.0**layer
        for layer in range(len(NAMES))
    ]
    return {NORMS: scale * np.stack(columns, axis=1)}


# gradient-chi2


def test_chi2_is_the_density_of_scipy_with_its_jacobian():
    fit, evaluate = chi2_norms(50, 1, 0), chi2_norms(9, 1, 1)
    scores = GradientChi2(eps=1e-30).fit(fit).score(evaluate)
    expected = np.zeros(9)
    for layer in range(len(NAMES)):
        f, x = fit[NORMS][:, layer], evaluate[NORMS][:, layer]
        a, k = f.var() / (2 * f.mean()), 2 * f.mean() ** 2 / f.var()
        expected -= stats.chi2.logpdf(x, df=k, scale=a) + np.log(x)
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_chi2_adds_eps_to_the_norm_and_to_its_relative_variance():
    fit, evaluate, eps = chi2_norms(50, 1, 0), chi2_norms(9, 1, 1), 0.5
    scores = GradientChi2(eps=eps).fit(fit).score(evaluate)
    expected = np.zeros(9)
    for layer in range(len(NAMES)):
        f, x = fit[NORMS][:, layer] + eps, evaluate[NORMS][:, layer] + eps
        variance = f.var() + eps * f.mean() ** 2
        a, k = variance / (2 * f.mean()), 2 * f.mean() ** 2 / variance
        expected -= stats.chi2.logpdf(x, df=k, scale=a) + np.log(x)
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_chi2_integrates_to_one_over_the_log_norm():
    fit = {NORMS: chi2_norms(40, 1, 3)[NORMS][:, :1]}
    phi = np.linspace(-40, 8, 200_001)
    scores = GradientChi2().fit(fit).score({NORMS: np.exp(phi)[:, None]})
    assert np.exp(-scores).sum() * (phi[1] - phi[0]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("spread", [1e-3, 1e-5])
def test_chi2_of_a_layer_that_hardly_varies_keeps_its_digits(spread):
    """Then it is nearly a Gaussian of log f with that standard deviation."""
    z = np.random.default_rng(0).standard_normal(400)
    fit = {NORMS: 7.0 * np.exp(spread * z)[:, None]}
    z = np.linspace(-3, 3, 7)
    scores = GradientChi2(eps=1e-14).fit(fit).score({NORMS: 7.0 * np.exp(spread * z)[:, None]})
    mean, sd = np.log(fit[NORMS] / 7).mean() / spread, np.log(fit[NORMS]).std() / spread
    expected = -stats.norm.logpdf(z, mean, sd) + math.log(spread)
    np.testing.assert_allclose(scores, expected, atol=0.02)


def test_chi2_finds_the_degrees_of_freedom():
    scorer = GradientChi2().fit(chi2_norms(4000, 1, 0))
    expected = np.array([3, 5, 7, 9, 11]) / 2
    np.testing.assert_allclose(scorer.shape_, expected, rtol=0.12)


def test_the_unit_of_the_objective_changes_no_chi2_score():
    expected = GradientChi2().fit(chi2_norms(50, 1, 0)).score(chi2_norms(9, 1, 1))
    scorer = GradientChi2().fit(chi2_norms(50, 1, 0, scale=25.0))
    np.testing.assert_allclose(scorer.score(chi2_norms(9, 1, 1, scale=25.0)), expected, rtol=1e-8)


# gradient-norm, gradient-svm, gradient-iforest


def test_the_norm_is_the_log_of_the_sum():
    fit = {NORMS: np.array([[1.0, 5.0], [2.0, 5.0]])}
    scorer = GradientNorm().fit(fit)
    scores = scorer.score({NORMS: np.array([[3.0, 4.0], [0.0, 1.0]])})
    np.testing.assert_allclose(scores, [math.log(7.0), 0.0], atol=1e-9)
    assert scorer.fit_info() == {"layers": 2}
    assert np.isfinite(scorer.score({NORMS: np.zeros((1, 2))})).all()


@pytest.mark.parametrize("nu", [0.3, 0.6])
def test_the_svm_is_its_sum_over_support_vectors(nu):
    fit, evaluate = chi2_norms(40, 5, 0), chi2_norms(9, 5, 1)
    scorer = GradientSVM(nu=nu).fit(fit)
    logs = np.log(fit[NORMS])
    z = (np.log(evaluate[NORMS]) - logs.mean(0)) / logs.std(0)
    machine = scorer.machine_._machine
    vectors = ((logs - logs.mean(0)) / logs.std(0))[machine.support_]
    alphas = machine.dual_coef_[0]
    kernel = np.exp(-(cdist(z, vectors) ** 2) / len(NAMES))
    expected = -(kernel @ alphas + machine.intercept_[0])
    np.testing.assert_allclose(scorer.score(evaluate), expected, rtol=1e-7)
    assert alphas.sum() == pytest.approx(nu * 40)
    far = scorer.score({NORMS: 1e30 * evaluate[NORMS]})
    np.testing.assert_allclose(far, -machine.intercept_[0], rtol=1e-12)


def test_the_forest_by_hand():
    """One tree on two different groups splits once: depth 1 = c(2) for both, 2^-1."""
    fit = {NORMS: np.array([[1.0], [9.0]])}
    scores = GradientIForest(trees=3).fit(fit).score({NORMS: np.array([[0.5], [20.0]])})
    np.testing.assert_allclose(scores, 0.5)


@pytest.mark.parametrize("groups", [2, 3, 40, 256, 257, 600])
def test_the_forest_is_that_of_scikit_learn_bit_for_bit(groups):
    fit, evaluate = chi2_norms(groups, 1, 0), chi2_norms(99, 1, 1)
    fit[NORMS][:, 1] = np.ceil(fit[NORMS][:, 1])  # ties
    forest = IsolationForest(n_estimators=30, random_state=3)
    forest.fit(np.log(fit[NORMS] + 1e-3))
    expected = -forest.score_samples(np.log(evaluate[NORMS] + 1e-3))
    found = GradientIForest(trees=30, seed=3, eps=1e-3).fit(fit).score(evaluate)
    assert np.array_equal(found, expected)


def test_the_forest_depends_on_its_seed_alone():
    fit, evaluate = chi2_norms(60, 5, 0), chi2_norms(9, 5, 1)
    first, again, other = (
        GradientIForest(trees=8, seed=seed).fit(fit).score(evaluate) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("scorer", SCORERS)
def test_planted_ood_scores_higher(scorer, size):
    options = {"trees": 20} if scorer is GradientIForest else {}
    fitted = scorer(**options).fit(chi2_norms(200, size, 0))
    scores_in = fitted.score(chi2_norms(100, size, 1))
    assert auroc(scores_in, fitted.score(chi2_norms(100, size, 2, scale=6.0))) > 0.9
    small = auroc(scores_in, fitted.score(chi2_norms(100, size, 2, scale=1 / 30)))
    assert small < 0.1 if scorer is GradientNorm else small > 0.9


# The choice of layers


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize(
    ("options", "columns"),
    [
        ({"layers": ("levels.1.*",)}, [2, 3]),
        ({"layers": ("*.bias",)}, [0, 2]),
        ({"layers": ("*.bias", "top.*")}, [0, 2, 4]),
        ({"top_k": 2}, [1, 3]),
        ({"layers": ("levels.0.*", "top.*"), "top_k": 1}, [1]),
        ({"top_k": 99}, [0, 1, 2, 3, 4]),
    ],
)
def test_chosen_layers_are_as_if_there_were_no_others(scorer, options, columns):
    rng = np.random.default_rng(0)
    spread = np.array([0.4, 1.5, 0.5, 2.5, 0.6])
    fit, evaluate = (np.exp(spread * rng.standard_normal((n, 5))) for n in (60, 9))
    small = {"trees": 4} if scorer is GradientIForest else {}
    chosen = scorer(**options, **small)
    chosen.name_features({NORMS: NAMES})
    chosen.fit({NORMS: fit})
    alone = scorer(**small).fit({NORMS: fit[:, columns]})
    expected = alone.score({NORMS: evaluate[:, columns]})
    np.testing.assert_allclose(chosen.score({NORMS: evaluate}), expected, rtol=1e-10)
    assert chosen.fit_info()["layers"] == len(columns)


def test_constant_layers_are_not_among_the_top():
    fit = chi2_norms(40, 1, 0)
    fit[NORMS][:, :4] = 0.0
    scorer = GradientGaussian(top_k=3)
    assert scorer.fit(fit).fit_info() == {"layers": 3, "layers_left_out": 2}


def test_a_pattern_that_fits_nothing_is_named_with_what_there_is():
    scorer = GradientChi2(layers=("levels.0.*", "levels.7.*"))
    scorer.name_features({NORMS: NAMES})
    with pytest.raises(ScoreError) as error:
        scorer.fit(chi2_norms(9, 1, 0))
    assert str(error.value) == (
        "gradient-chi2: no layer name matches 'levels.7.*'; names begin with levels.0, levels.1, "
        "top and end in bias, log_scale, weight"
    )
    with pytest.raises(ScoreError, match="^gradient-svm needs the layer names"):
        GradientSVM(layers=("*.bias",)).fit(chi2_norms(9, 1, 0))


# Terms


@pytest.mark.parametrize("scorer", [GradientGaussian, GradientChi2])
def test_the_terms_are_the_scores_of_the_layers_alone(scorer):
    fit, evaluate = chi2_norms(40, 1, 0)[NORMS], chi2_norms(9, 1, 1)[NORMS]
    fit[:, 1] = 3.0
    whole = scorer()
    whole.name_features({NORMS: NAMES})
    terms = whole.fit({NORMS: fit}).score_terms({NORMS: evaluate})
    assert list(terms) == [NAMES[layer] for layer in (0, 2, 3, 4)]
    for layer in (0, 2, 3, 4):
        one = slice(layer, layer + 1)
        alone = scorer().fit({NORMS: fit[:, one]}).score({NORMS: evaluate[:, one]})
        np.testing.assert_allclose(terms[NAMES[layer]], alone, rtol=1e-12)
    total = whole.score({NORMS: evaluate})
    np.testing.assert_allclose(sum(terms.values()), total, rtol=1e-12)


@pytest.mark.parametrize("scorer", SCORERS)
def test_unfitted_and_misfitted(scorer):
    name = scorer.name
    with pytest.raises(NotFittedError, match=f"^{name} was asked for scores before it was fit"):
        scorer().score(chi2_norms(3, 1, 0))
    with pytest.raises(NotFittedError, match=f"^{name} was asked for its fit before it was fit"):
        scorer().fit_info()
    with pytest.raises(ScoreError, match=f"^{name} needs at least two fit groups, not 1$"):
        scorer().fit(chi2_norms(1, 1, 0))
    with pytest.raises(ScoreError, match=f"^{name} was fitted on 5 layers, not 4$"):
        scorer().fit(chi2_norms(9, 1, 0)).score({NORMS: np.ones((2, 4))})


def test_no_scorer_imports_what_is_slow_to_import():
    code = """
import json, sys
from harness.registry.registry import Registry
registry = Registry()
for name in registry.names("scorers"):
    registry.get("scorers", name).load()
print(json.dumps([name for name in ("sklearn", "scipy", "torch") if name in sys.modules]))
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert json.loads(found.stdout) == []
