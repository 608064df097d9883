"""The engine against the loop for other objectives than the log-probability."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from oodbench import Images, UnsupportedError
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.statistics.layer_gradient_sq_norms import LayerGradientSqNorms
from plugins.statistics.layer_gradients import engine as engine_module
from plugins.statistics.layer_gradients import registry
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.graph import ObjectiveModule
from plugins.statistics.layer_gradients.objectives import latent_sum, log_prob
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from tests.oracle.layer_gradient_models import DOMAIN, flat, groups_of, randomised

COLOUR = Images(3, 8, 8)
MODELS = {
    "glow": (lambda: glow(COLOUR, levels=3, steps=2, width=6), "fused"),
    "glow-of-one-level": (lambda: glow(COLOUR, levels=1, steps=2, width=20), "fused"),
    "linear-shared": (
        lambda: glow_linear(COLOUR, steps=3, width=10, hidden_layers=2, shared_steps=True),
        "rule",
    ),
    "linear-own": (
        lambda: glow_linear(COLOUR, steps=2, width=10, hidden_layers=1, shared_steps=False),
        "rule",
    ),
}


@pytest.fixture(params=MODELS)
def case(request):
    torch.manual_seed(0)
    make, way = MODELS[request.param]
    return randomised(make()), way


def ways(engine, model, groups):
    return {
        unit.method
        for unit in engine.plan(model, groups).units(ObjectiveModule(model, latent_sum))
    }


@pytest.mark.parametrize("size", [1, 2, 5])
def test_latent_sums_have_the_norms_of_the_loop(case, size):
    model, way = case
    engine = LayerGradientEngine(latent_sum)
    groups = groups_of(COLOUR, 5, size)
    engine.plan(model, groups)
    engine._known[model].most_examples = 2 * size  # the last chunk is a ragged one
    expected = looped_layer_gradients(model, groups, latent_sum)
    np.testing.assert_allclose(engine(model, groups), expected, rtol=1e-9, atol=1e-30)
    assert ways(engine, model, groups) == {way}
    rest = groups[:1, : max(1, size - 1)]  # a ragged group
    expected = looped_layer_gradients(model, rest, latent_sum)
    np.testing.assert_allclose(engine(model, rest), expected, rtol=1e-9, atol=1e-30)


def test_latent_sums_by_rules_alone(case, monkeypatch):
    model, _ = case
    monkeypatch.setattr(registry, "_FUSED_RULES", {})
    engine, groups = LayerGradientEngine(latent_sum), groups_of(COLOUR, 3, 2)
    expected = looped_layer_gradients(model, groups, latent_sum)
    np.testing.assert_allclose(engine(model, groups), expected, rtol=1e-9, atol=1e-30)
    assert ways(engine, model, groups) == {"rule"}


def test_latents_that_a_log_probability_reads_and_their_sum_does_not():
    """Splits, top, and the coupling before a split, which moves only the half that leaves."""
    torch.manual_seed(0)
    model = randomised(glow(COLOUR, levels=2, steps=2, width=6))
    norms = LayerGradientSqNorms(objective="latent-sum")(model, groups_of(COLOUR, 3, 1))
    names = [name for name, _ in model.named_parameters()]
    unread = ("splits.", "top.", "levels.0.steps.1.coupling.")
    expected = [not name.startswith(unread) for name in names]
    np.testing.assert_array_equal((norms > 0).all(0), expected)
    np.testing.assert_array_equal((norms > 0).any(0), expected)


@pytest.mark.parametrize("name", ["log-prob", "latent-sum"])
def test_the_statistic_goes_through_the_engine(name, monkeypatch):
    torch.manual_seed(0)
    model, groups = randomised(glow(COLOUR, levels=2, steps=1, width=4)), groups_of(COLOUR, 3, 2)
    objective = {"log-prob": log_prob, "latent-sum": latent_sum}[name]
    expected = looped_layer_gradients(model, groups, objective)
    calls = []

    def no_loop(*args):
        calls.append(args)
        return looped_layer_gradients(*args)

    monkeypatch.setattr(engine_module, "looped_layer_gradients", no_loop)
    norms = LayerGradientSqNorms(objective=name)(model, groups)
    np.testing.assert_allclose(norms, expected, rtol=1e-9, atol=1e-30)
    assert not calls


def test_an_objective_of_ones_own():
    def energy(model, x):
        return -model.log_prob(x).square()

    model, groups = randomised(flat(nn.Linear(48, 4), nn.Tanh())), groups_of(DOMAIN, 4, 2)
    expected = looped_layer_gradients(model, groups, energy)
    np.testing.assert_allclose(LayerGradientEngine(energy)(model, groups), expected, rtol=1e-9)
    for group, row in zip(groups, expected, strict=True):
        total = -sum(model.log_prob(x[None]).square().sum() for x in group)
        gradients = torch.autograd.grad(total, list(model.parameters()))
        np.testing.assert_allclose(row, [g.square().sum() for g in gradients], rtol=1e-9)


def test_an_objective_of_no_parameter_is_an_error():
    model = flat(nn.Linear(48, 4))
    model.latent = lambda x: torch.zeros(len(x), 3)
    with pytest.raises(
        UnsupportedError, match="^latent_sum of Plain does not depend on any parameter"
    ):
        LayerGradientEngine(latent_sum)(model, groups_of(DOMAIN, 3, 2))
