"""Centred gradients against the enumerated score of a tiny domain and a loop, in float64."""

import numpy as np
import pytest
import torch
from torch import nn

from oodbench import Images, NotFittedError, ScoreError
from plugins.models.glow import glow
from plugins.models.networks.ebm import EBM
from plugins.models.pixelcnn import pixelcnn
from plugins.statistics.centred_gradients import CentredLayerGradientSqNorms
from plugins.statistics.fisher.centred import centred_sq_norms
from plugins.statistics.fisher.gradients import Gradients
from tests.oracle.layer_gradient_models import groups_of, randomised
from tests.oracle.test_ebm import DOMAIN, EVERY, OPTIONS
from tests.unit.plugins.odd_models import Branching

GRAY, COLOUR = Images(1, 4, 4, bits=5), Images(3, 4, 4)
MODELS = {
    "pixelcnn": (lambda: pixelcnn(GRAY, blocks=1, width=4, components=2), GRAY),
    "glow": (lambda: glow(COLOUR, levels=2, steps=1, width=4), COLOUR),
    "one group after another": (lambda: Branching(COLOUR), COLOUR),
}


def energy_model(*layers):
    torch.manual_seed(0)
    return EBM(DOMAIN, energy=nn.Sequential(nn.Flatten(), *layers), **OPTIONS).double().eval()


def log_softmax(model, x):
    """log p(x) with the partition function summed over every image."""
    return model.log_prob(x) - model.log_prob(EVERY).logsumexp(0)


def loop(model, groups, centre, objective):
    """|sum of gradients - b centre|^2 for each group and layer, by autograd."""
    parameters, rows = list(model.parameters()), []
    for group in groups:
        total = objective(model, group).sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        rows.append(
            [
                float(((0 if g is None else g) - len(group) * c).square().sum())
                for g, c in zip(gradients, centre, strict=True)
            ]
        )
    return np.array(rows)


def mean_gradient(model, examples):
    parameters = list(model.parameters())
    total = model.log_prob(examples).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    return [
        torch.zeros_like(p) if g is None else g / len(examples)
        for p, g in zip(parameters, gradients, strict=True)
    ]


@pytest.mark.parametrize("size", [1, 5])
def test_with_the_expectation_of_the_model_it_is_the_score_of_the_normalised_density(size):
    model = energy_model(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
    groups = EVERY[torch.randperm(256, generator=torch.Generator().manual_seed(1))][: 6 * size]
    groups = groups.unflatten(0, (6, size))
    probabilities = log_softmax(model, EVERY).detach().exp()
    total = (probabilities * model.log_prob(EVERY)).sum()
    mean = dict(enumerate(torch.autograd.grad(total, list(model.parameters()))))
    found = centred_sq_norms(Gradients(model, EVERY), model, groups, mean)
    expected = loop(model, groups, [torch.zeros(())] * 4, log_softmax)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_at_the_maximum_of_the_likelihood_the_mean_of_the_fit_examples_is_enough():
    """An exponential family, fitted to a few images by Newton's method."""
    model = energy_model(nn.Linear(4, 1))
    fit = EVERY[torch.randint(256, (40,), generator=torch.Generator().manual_seed(2))]
    y = 2 * EVERY.double().flatten(1) / 3 - 1
    weight = model.energy[1].weight
    for _ in range(20):
        with torch.no_grad():
            p = log_softmax(model, EVERY).exp()
            mean = p @ y
            covariance = (y * p[:, None]).T @ y - torch.outer(mean, mean)
            wanted = (2 * fit.double().flatten(1) / 3 - 1).mean(0)
            weight -= torch.linalg.solve(covariance, wanted - mean)
    statistic = CentredLayerGradientSqNorms().fit(model, fit)
    found = statistic(model, EVERY.unsqueeze(1))
    expected = loop(model, EVERY.unsqueeze(1), [torch.zeros(())] * 2, log_softmax)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)
    assert (expected[:, 0] > 0.1).any()


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_loop_with_the_mean_over_the_fit_examples(name, size):
    torch.manual_seed(0)
    make, domain = MODELS[name]
    model, fit = randomised(make()), groups_of(domain, 7, 1, seed=3).flatten(0, 1)
    groups = groups_of(domain, 4, size)
    expected = loop(model, groups, mean_gradient(model, fit), lambda m, x: m.log_prob(x))
    found = CentredLayerGradientSqNorms().fit(model, fit)(model, groups)
    scale = 1e-12 * expected.max()  # layers without a gradient are 0 but for rounding
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=scale)
    plain = loop(model, groups, [torch.zeros(())] * expected.shape[1], lambda m, x: m.log_prob(x))
    assert not np.allclose(plain, expected, rtol=1e-2)


def test_the_noise_of_the_mean_adds_its_share():
    """Mean of f over new groups of b from the distribution of the n fit examples: 1 + b/n."""
    model, size, n, rng = energy_model(nn.Linear(4, 1)), 5, 10, np.random.default_rng(0)
    gradients, ratios = Gradients(model, EVERY), []
    y = 2 * EVERY.double().flatten(1) / 3 - 1  # minus the gradient of the weight
    for _ in range(100):
        fit, groups = rng.integers(256, size=n), rng.integers(256, size=(40, size))
        mean = {0: -y[fit].mean(0, keepdim=True)}
        values = centred_sq_norms(gradients, model, EVERY[groups], mean)[:, 0]
        ratios.append(values.mean() / size)
    variance = y.var(0, correction=0).sum()
    assert np.mean(ratios) / variance == pytest.approx(1 + size / n, rel=0.1)


def test_it_refuses_what_it_cannot_do():
    model = energy_model(nn.Linear(4, 1))
    with pytest.raises(ScoreError, match=r"^the mean gradient needs at least one fit example$"):
        CentredLayerGradientSqNorms().fit(model, EVERY[:0])
    with pytest.raises(NotFittedError, match=r"was called before `fit`$"):
        CentredLayerGradientSqNorms()(model, EVERY[:2].unsqueeze(1))
