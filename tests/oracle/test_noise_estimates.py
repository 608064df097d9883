"""Estimates of noise, and what reads them, against closed forms in float64."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from oodbench import EstimatesNoise, Images, UnsupportedError
from plugins.models.diffusion import diffusion
from plugins.models.networks.flow_matching import FlowMatching
from plugins.models.vae import vae
from plugins.scorers.diffusion_path import DiffusionPath as DiffusionPathScorer
from plugins.scorers.score_norms import ScoreNorms as ScoreNormsScorer
from plugins.statistics.diffusion_path import DiffusionPath
from plugins.statistics.score_norms import ScoreNorms
from tests.oracle import test_diffusion, test_flow_matching

DOMAIN = Images(1, 1, 3, bits=3)
CENTRE = 4 * (test_diffusion.MEAN + 1) - 0.5
COVARIANCE = 4**2 * test_diffusion.COVARIANCE
EYE = torch.eye(3).double()
MODELS = ("diffusion", "flow-matching")


@cache
def model_of(name):
    """A model of Gaussian images that estimates noise as well as possible."""
    if name == "diffusion":
        return test_diffusion.model_of(DOMAIN, test_diffusion.Linear(), 1)
    velocity = test_flow_matching.Linear()
    return FlowMatching(DOMAIN, velocity=velocity, steps=1, probes=1, noise_seed=0)


def images(n):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 8, (n, *DOMAIN.shape), generator=generator).byte()


def scaled_score(z, sd):
    """-sd times the gradient of the log density of noisy images, (N, 3), by autograd."""
    z = z.flatten(1).double().requires_grad_()
    density = MultivariateNormal(CENTRE, COVARIANCE + sd**2 * EYE)
    return -sd * torch.autograd.grad(density.log_prob(z).sum(), z)[0]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("sd", [0.2, 1.0, 30.0])
def test_the_estimate_is_the_score_of_noisy_images(name, sd):
    model, z = model_of(name), images(4) + 0.3
    assert isinstance(model, EstimatesNoise)
    found = model.estimate_noise(z, sd)
    assert found.shape == z.shape
    torch.testing.assert_close(found.flatten(1), scaled_score(z, sd), rtol=1e-9, atol=1e-9)
    integers = model.estimate_noise(images(4), sd)
    torch.testing.assert_close(integers, model.estimate_noise(images(4).double(), sd))


@pytest.mark.parametrize(
    ("objective", "least", "largest"),
    [
        ("bound", 0.1656, math.exp(2.5) * 4),
        ("simple", 1e-2 * 4, 157.4 * 4),  # of variances 1e-4 and 1 - 4.036e-5
    ],
)
def test_the_range_is_that_of_training(objective, least, largest):
    model = diffusion(DOMAIN, width=4, halvings=0, objective=objective)
    assert model.noise_range == pytest.approx((least, largest), rel=1e-3)


def test_flow_matching_trains_a_little_beyond_its_range():
    """Training times are evenly spaced in u; their shares with less and with more noise."""
    model = model_of("flow-matching")
    t = model._time(torch.linspace(0, 1, 1001).double()[:-1])
    sd = (1 - t) / t * DOMAIN.levels / 2
    least, largest = model.noise_range
    assert (sd < least).double().mean() == pytest.approx(0.17, abs=0.005)
    assert (sd > largest).double().mean() == pytest.approx(0.027, abs=0.005)


@pytest.mark.parametrize("name", MODELS)
def test_score_norms_are_norms_of_scaled_scores_without_noise_of_their_own(name):
    model, x = model_of(name), images(5)
    statistic = ScoreNorms(scales=3, lowest=0.1, highest=1.6)
    assert statistic.features(model) == ("norm_1", "norm_2", "norm_3")
    expected = [scaled_score(x, sd).square().sum(1).sqrt() for sd in (0.7, 2.8, 11.2)]
    found = statistic(model, x.unsqueeze(1))
    np.testing.assert_allclose(found, torch.stack(expected, 1).numpy(), rtol=1e-9)


def on_the_path(x, u, low, high):
    """ε at time u from 0 to 1 of the exact path of Gaussian images, (n, N, 3)."""
    values, vectors = torch.linalg.eigh(COVARIANCE)
    sd = (low * (high / low) ** u)[:, None, None]
    start = (x.flatten(1).double() - CENTRE) @ vectors
    z = start * ((values + sd**2) / (values + low**2)).sqrt()  # z / sd(z) stays
    return (sd * z / (values + sd**2)) @ vectors.T


@pytest.mark.parametrize("name", MODELS)
def test_many_steps_follow_the_path_of_the_probability_flow(name):
    """Means over the steps become integrals over time: of ε and its time derivative."""
    model, x, steps = model_of(name), images(3), 500
    u = (torch.arange(steps).double() + 0.5) / steps
    noise = on_the_path(x, u, *model.noise_range)
    ahead, behind = (on_the_path(x, u + h, *model.noise_range) for h in (1e-4, -1e-4))
    rate = (ahead - behind) / 2e-4
    expected = [part.pow(p).sum(2).mean(0) for part in (noise, rate) for p in (1, 2, 3)]
    found = DiffusionPath(steps=steps)(model, x.unsqueeze(1)) / steps
    np.testing.assert_allclose(found, torch.stack(expected, 1).numpy(), rtol=0.02, atol=0.01)


@torch.no_grad()
def test_a_path_has_the_steps_of_ddim():
    """Song et al., Eq. 12 without new noise, in the coordinates of Ho et al., one by one."""
    torch.manual_seed(0)
    model, x = diffusion(DOMAIN, width=4, halvings=0).double(), images(2)
    low, rows = -13.3 + 2 * math.log(32), []
    gammas = [low, low + (5 - low) / 3, low + (5 - low) * 2 / 3]
    for y in (2 * x.double() + 1) / 8 - 1:
        alphas = [math.sqrt(1 / (1 + math.exp(gamma))) for gamma in gammas]
        sigmas = [math.sqrt(1 - alpha**2) for alpha in alphas]
        z, noises = alphas[0] * y, []
        for k, gamma in enumerate(gammas):
            noise = model.denoiser(z[None], torch.tensor([gamma]).double())[0]
            noises.append(noise)
            if k < 2:
                image = (z - sigmas[k] * noise) / alphas[k]
                z = alphas[k + 1] * image + sigmas[k + 1] * noise
        rates = [3 * (noises[1] - noises[0]), 3 * (noises[2] - noises[1])]
        rows.append(
            [sum((v**p).sum() for v in part) for part in (noises, rates) for p in (1, 2, 3)]
        )
    statistic = DiffusionPath(steps=3)
    names = ("noise_1", "noise_2", "noise_3", "rate_1", "rate_2", "rate_3")
    found, features = statistic(model, x.unsqueeze(1)), statistic.features(model)
    assert features == names
    np.testing.assert_allclose(found, torch.tensor(rows).double().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("statistic", [ScoreNorms(), DiffusionPath()])
def test_a_model_without_estimates_of_noise_is_unsupported(statistic):
    model = vae(DOMAIN, latents=2, width=2)
    for ask in (statistic.features, lambda model: statistic(model, images(1)[None])):
        with pytest.raises(UnsupportedError, match="VAE lacks this method"):
            ask(model)


def test_noise_beyond_that_of_training_is_unsupported():
    model = model_of("diffusion")
    for lowest, highest, noise in ((0.01, 1.0, "0.07 to 7"), (0.1, 7.0, "0.7 to 49")):
        with pytest.raises(UnsupportedError, match=f"{noise} grey.*trained on 0.166 to 48.7: set"):
            ScoreNorms(lowest=lowest, highest=highest).features(model)


@pytest.mark.parametrize("kind", [ScoreNormsScorer, DiffusionPathScorer])
def test_the_score_is_minus_a_gaussian_log_density(kind):
    """Of columns in standard deviations; a column that never varies is left out."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(60, 1, 3)) @ [[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [0.0, 0.0, 9.0]] - 5
    values = np.concatenate([draws, np.full((60, 1, 1), 7.0)], axis=2)
    scorer = kind()
    scorer.fit({scorer.statistic: values[:40]})
    fit = torch.from_numpy(draws[:40, 0])
    density = MultivariateNormal(torch.zeros(3).double(), fit.T.corrcoef() + 1e-6 * EYE)
    groups = values[40:].reshape(10, 2, 4)
    z = (torch.from_numpy(groups[..., :3]) - fit.mean(0)) / fit.std(0)
    found = scorer.score({scorer.statistic: groups})
    np.testing.assert_allclose(found, -density.log_prob(z).mean(1).numpy(), rtol=1e-9)


def test_columns_that_follow_from_others_have_a_density():
    values = np.arange(12.0).reshape(6, 1, 2) @ [[1.0, 2.0], [0.0, 0.0]]
    scorer = ScoreNormsScorer().fit({"score_norms": values})
    on_the_line, beside = scorer.score({"score_norms": np.array([[[1.0, 2.0]], [[1.0, 2.1]]])})
    assert on_the_line < beside
