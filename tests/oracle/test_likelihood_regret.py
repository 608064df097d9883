"""Likelihood regret against explicit optimisers on deep copies, and in closed form."""

from __future__ import annotations

import copy
import logging
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from harness.testing.toy_models import TinyAutoregression, TinyFlow
from oodbench import Images, NotFittedError
from plugins.models.glow import glow
from plugins.scorers.likelihood_regret import LikelihoodRegret as Scorer
from plugins.statistics import regret
from plugins.statistics.likelihood_regret import LikelihoodRegret

DOMAIN = Images(1, 4, 4)


def tiny_glow(domain):
    torch.manual_seed(3)
    model = glow(domain, levels=2, steps=1, width=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


class Stubborn(TinyFlow):
    """A flow whose code depends on values, which vectorisation cannot follow; one tensor twice."""

    def __init__(self, domain):
        super().__init__(domain)
        self.same = self.weight

    def log_prob(self, x):
        values = super().log_prob(x)
        return values if bool(values.isfinite().all()) else values + self.same.sum()


class GaussianMean(nn.Module):
    """log p(x) = -|x - μ|² / 2 + c, x in grey levels."""

    likelihood = "unnormalized"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.mean = nn.Parameter(torch.linspace(0, 9, domain.dims, dtype=torch.float64))

    def log_prob(self, x):
        return -0.5 * (x.flatten(1) - self.mean).square().sum(1) - 17.0


def examples(count, domain=DOMAIN, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 1, *domain.shape)
    return torch.randint(domain.levels, shape, generator=generator, dtype=torch.uint8)


def trained_copies(model, x, steps, optimizer):
    """The definition: torch's own optimisers, one deep copy for each example."""
    rows = []
    for example in x:
        own = copy.deepcopy(model)
        stepper = optimizer(own.parameters())
        values = [own.log_prob(example)]
        for _ in range(steps):
            stepper.zero_grad()
            (-values[-1].sum()).backward()
            stepper.step()
            values.append(own.log_prob(example))
        rows.append(max(value.item() for value in values) - values[0].item())
    return np.array(rows)[:, None]


OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 2e-3), ("adam", 3e-4), ("sgd", 1e-6)])
@pytest.mark.parametrize("make", [tiny_glow, TinyAutoregression, Stubborn])
@pytest.mark.parametrize("copy_bytes", [0, 2**29])
def test_it_is_what_an_optimiser_on_a_copy_gains(monkeypatch, make, optimizer, rate, copy_bytes):
    monkeypatch.setattr(regret, "COPY_BYTES", copy_bytes)
    domain = Images(1, 2, 2, bits=2) if make is TinyAutoregression else DOMAIN
    model, x = make(domain).double().eval(), examples(3, domain)
    found = LikelihoodRegret(steps=3, learning_rate=rate, optimizer=optimizer)(model, x)
    expected = trained_copies(model, x, 3, partial(OPTIMIZERS[optimizer], lr=rate))
    assert (found.dtype, found.shape) == (np.dtype("float64"), (3, 1))
    assert (expected > 0).all()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_what_a_suite_leaves_out_is_as_documented():
    statistic = LikelihoodRegret()
    found = statistic.steps, statistic.learning_rate, statistic.optimizer
    assert found == (5, 1e-5, "adam")


def test_copies_are_trained_side_by_side_in_parts_that_fit(monkeypatch):
    model, x = tiny_glow(DOMAIN).double().eval(), examples(5)
    whole = LikelihoodRegret(steps=2)(model, x)
    size = 8 * sum(parameter.numel() for parameter in model.parameters())
    monkeypatch.setattr(regret, "COPY_BYTES", 2 * regret.TENSORS * size)
    parts = []
    together = regret._side_by_side
    monkeypatch.setattr(
        regret, "_side_by_side", lambda *given: parts.append(len(given[2])) or together(*given)
    )
    np.testing.assert_allclose(LikelihoodRegret(steps=2)(model, x), whole, rtol=1e-9)
    assert parts == [2, 2, 1]


def test_what_cannot_be_vectorised_is_noted(caplog):
    caplog.set_level(logging.INFO)
    LikelihoodRegret(steps=1)(Stubborn(DOMAIN), examples(2))
    assert "likelihood regret of Stubborn one example at a time" in caplog.text
    caplog.clear()
    LikelihoodRegret(steps=1)(tiny_glow(DOMAIN).eval(), examples(2))
    assert not caplog.text


@pytest.mark.parametrize(("rate", "share"), [(0.1, 1 - 0.9**2), (0.5, 0.75), (2.5, 0.0)])
def test_one_step_on_the_mean_of_a_gaussian(rate, share):
    # the step moves μ by rate (x - μ), so |x - μ|² shrinks by (1 - rate)², or grows past rate 2
    model, x = GaussianMean(DOMAIN), examples(4)
    found = LikelihoodRegret(steps=1, learning_rate=rate, optimizer="sgd")(model, x)
    away = (x[:, 0].flatten(1) - model.mean.detach()).square().sum(1).numpy()
    np.testing.assert_allclose(found[:, 0], 0.5 * away * share, rtol=1e-12)


def test_groups_are_of_one_example():
    with pytest.raises(
        ValueError, match=r"^likelihood_regret is per example: expected groups with 1 exam"
    ):
        LikelihoodRegret()(GaussianMean(DOMAIN), examples(5).view(1, 5, *DOMAIN.shape))


def test_the_scorer_by_hand():
    statistics = {"likelihood_regret": np.array([[[1.0], [4.0]], [[0.0], [0.5]]])}
    with pytest.raises(NotFittedError):
        Scorer().score(statistics)
    with pytest.raises(NotFittedError):
        Scorer().fit_info()
    scorer = Scorer().fit(statistics)
    assert scorer.score(statistics).tolist() == [2.5, 0.25]
    assert scorer.fit_info() == {"examples_without_gain": 1}
    single = {"mine": np.array([[[1.0]], [[3.0]]])}
    assert Scorer(statistic="mine").fit(single).score(single).tolist() == [1.0, 3.0]
