"""The scorers against hand numbers and literal loops over the equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from harness.registry.options import signature_options
from oodbench import HasFitInfo, NotFittedError, ScoreError
from oodbench.testing import assert_conforms, check_scorer
from plugins.scorers.gradient_gaussian import GradientGaussian
from plugins.scorers.likelihood_regret import LikelihoodRegret
from plugins.scorers.log_likelihood import LogLikelihood
from plugins.scorers.typicality import Typicality

NORMS = "layer_gradient_sq_norms"


def log_prob(*groups):
    return {"log_prob": np.array(groups, dtype=np.float64)[:, :, None]}


def norms(groups, layers, seed=0):
    return np.random.default_rng(seed).lognormal(3.0, 2.0, (groups, layers))


def literal_gradient_gaussian(fit, evaluate, eps):
    """Eqs. 9 to 12 one number at a time; returns the scores and the layers in the sum."""
    layers = range(len(fit[0]))
    means, variances, kept = [], [], []
    for layer in layers:
        phi = [math.log(row[layer] + eps) for row in fit]
        mean = sum(phi) / len(phi)
        means.append(mean)
        variances.append(sum((value - mean) ** 2 for value in phi) / len(phi))
        if any(value != phi[0] for value in phi):
            kept.append(layer)
    scores = []
    for row in evaluate:
        total = 0.0
        for layer in kept:
            phi_l = math.log(row[layer] + eps)
            variance = variances[layer] + eps
            total += (phi_l - means[layer]) ** 2 / variance
            total += math.log(2 * math.pi * variance)
        scores.append(total / 2)
    return scores, kept


@pytest.mark.parametrize("eps", [1e-10, 1e-3, 2.0])
def test_gradient_gaussian_matches_the_literal_equations(eps):
    fit, evaluate = norms(30, 7), norms(9, 7, seed=1)
    scores = GradientGaussian(eps=eps).fit({NORMS: fit}).score({NORMS: evaluate})
    expected, _ = literal_gradient_gaussian(fit.tolist(), evaluate.tolist(), eps)
    assert (scores.dtype, scores.shape) == (np.dtype("float64"), (9,))
    np.testing.assert_allclose(scores, expected, rtol=1e-11)


def test_gradient_gaussian_leaves_out_constant_layers():
    fit, evaluate = norms(30, 7), norms(9, 7, seed=1)
    fit[:, 2] = 0.0
    fit[:, 5] = 0.1
    evaluate[:, 2] = 1e9
    scorer = GradientGaussian().fit({NORMS: fit})
    expected, kept = literal_gradient_gaussian(fit.tolist(), evaluate.tolist(), 1e-10)
    assert kept == [0, 1, 3, 4, 6]
    np.testing.assert_allclose(scorer.score({NORMS: evaluate}), expected, rtol=1e-11)
    assert isinstance(scorer, HasFitInfo)
    assert scorer.fit_info() == {"layers": 7, "layers_left_out": 2}
    alone = GradientGaussian().fit({NORMS: fit[:, kept]}).score({NORMS: evaluate[:, kept]})
    np.testing.assert_allclose(scorer.score({NORMS: evaluate}), alone, rtol=1e-13)


def test_gradient_gaussian_by_hand():
    # One layer, φ of 0 and 2 at the fit: mean 1, variance 1; φ of 4 lies three deviations off.
    fit = {NORMS: np.exp([[0.0], [2.0]])}
    scores = GradientGaussian(eps=1e-300).fit(fit).score({NORMS: np.exp([[4.0], [1.0]])})
    constant = 0.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(scores, [4.5 + constant, constant], rtol=1e-13)


def test_gradient_gaussian_stays_finite_at_a_norm_of_zero():
    evaluate = norms(3, 7, seed=1)
    evaluate[1] = 0.0
    scores = GradientGaussian().fit({NORMS: norms(30, 7)}).score({NORMS: evaluate})
    assert np.isfinite(scores).all()
    assert scores.argmax() == 1


def test_a_constant_factor_changes_no_score():
    fit, evaluate = norms(30, 7), norms(9, 7, seed=1)
    scores = GradientGaussian().fit({NORMS: fit}).score({NORMS: evaluate})
    scaled = GradientGaussian().fit({NORMS: 1e4 * fit}).score({NORMS: 1e4 * evaluate})
    np.testing.assert_allclose(scaled, scores, rtol=1e-8)


def test_gradient_gaussian_reads_the_statistic_that_it_is_told():
    scorer = GradientGaussian(statistic="latent_norms")
    assert scorer.inputs == ("latent_norms",)
    scores = scorer.fit({"latent_norms": norms(5, 2)}).score({"latent_norms": norms(4, 2)})
    assert scores.shape == (4,)
    assert GradientGaussian().inputs == (NORMS,)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (norms(1, 3), "gradient-gaussian needs at least two fit groups, not 1"),
        (norms(0, 3), "gradient-gaussian needs at least two fit groups, not 0"),
        (np.ones((8, 3)), "gradient-gaussian: all 3 layers are constant on the 8 fit groups"),
        (
            np.array([[1.0, np.inf, 2.0], [2.0, np.nan, 1.0]]),
            f"gradient-gaussian: {NORMS} of the fit groups is not finite in 1 layers",
        ),
        (
            -np.ones((8, 3)),
            f"gradient-gaussian: {NORMS} has negative values; squared norms are expected",
        ),
    ],
)
def test_gradient_gaussian_refuses_what_it_cannot_fit(fit, message):
    with pytest.raises(ScoreError) as error:
        GradientGaussian().fit({NORMS: fit})
    assert str(error.value) == message


def test_gradient_gaussian_refuses_other_layers():
    scorer = GradientGaussian().fit({NORMS: norms(5, 3)})
    with pytest.raises(ScoreError, match=r"^gradient-gaussian was fitted on 3 layers, not 4$"):
        scorer.score({NORMS: norms(5, 4)})


def test_log_likelihood_by_hand():
    scorer = LogLikelihood().fit(log_prob([-1.0, -2.0]))
    scores = scorer.score(log_prob([-3.0, -6.0], [-10.0, 2.0]))
    assert scores.dtype == np.float64
    assert scores.tolist() == [4.5, 4.0]


def test_typicality_by_hand():
    scorer = Typicality().fit(log_prob([-1.0, -2.0], [-3.0, -6.0]))
    assert scorer.entropy_ == 3.0
    assert scorer.fit_info() == {"entropy": 3.0}
    scores = scorer.score(log_prob([-3.0, -6.0], [-1.0, -1.0], [-4.0, -2.0]))
    assert scores.dtype == np.float64
    assert scores.tolist() == [1.5, 2.0, 0.0]


@pytest.mark.parametrize("scorer", [LogLikelihood, Typicality])
def test_another_log_probability_is_read(scorer):
    plain, other = log_prob([-1.0, -4.0]), log_prob([-9.0, -5.0])
    both = plain | {"seen": other["log_prob"]}
    reads = scorer(statistic="seen")
    assert reads.inputs == ("seen",)
    expected = scorer().fit(other).score(other)
    assert reads.fit(both).score(both).tolist() == expected.tolist()
    assert scorer().fit(both).score(both).tolist() == scorer().fit(plain).score(plain).tolist()


@pytest.mark.parametrize("scorer", [LogLikelihood, Typicality, LikelihoodRegret])
@pytest.mark.parametrize(
    ("shape", "found"), [((4, 2, 3), "3 per example"), ((4, 5), "5 per group")]
)
def test_a_statistic_of_several_columns_is_refused(scorer, shape, found):
    reads, values = scorer(statistic="terms"), {"terms": np.ones(shape)}
    message = f"^{reads.name} needs a statistic with 1 column per example; terms has {found}$"
    with pytest.raises(ScoreError, match=message):
        reads.fit(values).score(values)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (np.zeros((0, 5, 1)), "typicality needs at least one fit group"),
        (
            np.full((2, 1, 1), -np.inf),
            "typicality: log_prob of the fit examples is not finite",
        ),
    ],
)
def test_typicality_refuses_what_it_cannot_fit(fit, message):
    with pytest.raises(ScoreError) as error:
        Typicality().fit({"log_prob": fit})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("scorer", "name"),
    [
        (LogLikelihood(), "log-likelihood"),
        (Typicality(), "typicality"),
        (GradientGaussian(), "gradient-gaussian"),
    ],
)
def test_unfitted(scorer, name):
    statistics = {"log_prob": np.zeros((2, 1, 1)), NORMS: np.ones((2, 3))}
    with pytest.raises(NotFittedError) as error:
        scorer.score(statistics)
    assert str(error.value) == f"{name} was asked for scores before it was fitted"
    if isinstance(scorer, HasFitInfo):
        with pytest.raises(NotFittedError, match=f"^{name} was asked for its fit before"):
            scorer.fit_info()


@pytest.mark.parametrize("scorer", [LogLikelihood, Typicality, GradientGaussian])
def test_built_in_scorers_conform(scorer):
    assert_conforms(check_scorer(scorer))


def test_options_are_typed_for_validation():
    options = signature_options(GradientGaussian)
    eps, statistic = (TypeAdapter(options[name][0]) for name in ("eps", "statistic"))
    assert eps.validate_python(1e-3) == 1e-3
    assert statistic.validate_python("mine") == "mine"
    for adapter, wrong in ((eps, 0.0), (eps, math.inf), (eps, "much"), (statistic, "")):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
