"""What the paper's published code does otherwise, each by its option and off by default."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.registry.options import validate_options
from harness.testing.toy_models import TinyAutoregression
from oodbench import Images, UnsupportedError, fixed_noise
from oodbench.testing import assert_conforms, check_model, check_statistic
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.statistics.dequantised_log_prob import DequantisedLogProb
from plugins.statistics.layer_gradient_sq_norms import LayerGradientSqNorms
from plugins.statistics.log_prob import LogProb

TINY = Images(1, 2, 2, bits=2)
ALL = torch.cartesian_prod(*[torch.arange(4, dtype=torch.uint8)] * 4).reshape(-1, 1, 2, 2)


def linear(**options):
    torch.manual_seed(0)
    model = glow_linear(TINY, steps=4, width=8, hidden_layers=1, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def trained(model, steps=400):
    """Fitted to sixteen of the 256 images."""
    generator = torch.Generator().manual_seed(0)
    x = ALL[torch.randperm(len(ALL), generator=generator)[:16]]
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        model.training_loss(x, generator).backward()
        optimiser.step()
    return model


def total_probability(model):
    with torch.no_grad():
        return model.log_prob(ALL).exp().sum().item()


def test_the_options_are_off_by_default():
    assert validate_options(glow_linear, {})["dequantisation"] == "uniform"
    assert validate_options(glow_linear, {})["ladj_constant"] == 0.0
    found = validate_options(LayerGradientSqNorms, {})
    assert found == {"objective": "log-prob", "noise": "none"}
    assert validate_options(LogProb, {}) == {"noise": "none"}
    assert linear().likelihood == "exact"


def test_without_dequantisation_the_loss_is_that_of_the_middles_of_the_bins():
    model = linear(dequantisation="none")
    generator = torch.Generator().manual_seed(0)
    loss = model.training_loss(ALL[:7], generator)
    assert torch.equal(loss, -model.log_prob(ALL[:7]).mean())
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())
    torch.testing.assert_close(model.log_prob(ALL), linear().log_prob(ALL))


def test_without_dequantisation_it_is_no_distribution_and_says_so():
    assert total_probability(trained(linear())) < 1.001
    model = trained(linear(dequantisation="none"))
    assert total_probability(model) > 2
    assert model.likelihood == "unnormalized"


def test_the_constant_is_added_once_for_each_step_and_changes_no_gradient():
    model, plain = linear(ladj_constant=1.0), linear()
    assert model.likelihood == "unnormalized"
    torch.testing.assert_close(model.log_prob(ALL), plain.log_prob(ALL) + 4)
    terms, plain_terms = model.log_prob_terms(ALL), plain.log_prob_terms(ALL)
    torch.testing.assert_close(terms["ladj"], plain_terms["ladj"] + 4)
    groups = ALL[:6].reshape(3, 2, *TINY.shape)
    statistic = LayerGradientSqNorms()
    np.testing.assert_allclose(statistic(model, groups), statistic(plain, groups), rtol=1e-12)


def test_the_model_of_the_code_conforms():
    options = {"steps": 2, "width": 8, "hidden_layers": 1}
    code = {"dequantisation": "none", "ladj_constant": 1.0}
    assert_conforms(check_model(lambda domain: glow_linear(domain, **options, **code)))


MODELS = {
    "glow": lambda: glow(Images(1, 4, 4), levels=2, steps=2, width=4).double(),
    "glow-linear": linear,
}


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_latent_sum_is_the_gradient_of_the_summed_latents(build):
    torch.manual_seed(0)
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    generator = torch.Generator().manual_seed(1)
    shape = (3, 2, *model.domain.shape)
    groups = torch.randint(model.domain.levels, shape, generator=generator).to(torch.uint8)
    rows = []
    for group in groups:
        model.zero_grad(set_to_none=True)
        for x in group:  # one backward per example: gradients add up
            model.latent(x[None]).sum().backward()
        rows.append([0.0 if p.grad is None else p.grad.square().sum() for p in model.parameters()])
    model.zero_grad(set_to_none=True)
    found = LayerGradientSqNorms(objective="latent-sum")(model, groups)
    np.testing.assert_allclose(found, np.array(rows), rtol=1e-9, atol=1e-12)
    assert not np.allclose(found, LayerGradientSqNorms()(model, groups))


def test_latent_sum_of_a_glow_depends_on_no_prior():
    torch.manual_seed(0)
    model = glow(Images(1, 4, 4), levels=2, steps=1, width=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    statistic = LayerGradientSqNorms(objective="latent-sum")
    norms = statistic(model, torch.arange(16, dtype=torch.uint8).reshape(1, 1, 1, 4, 4))
    zero = {
        name for name, norm in zip(statistic.features(model), norms[0], strict=True) if norm == 0
    }
    priors = {name for name in statistic.features(model) if ".prior." in name}
    assert len(priors) == 6
    assert priors <= zero


def test_latent_sum_needs_a_latent():
    model = TinyAutoregression(TINY)
    with pytest.raises(UnsupportedError) as caught:
        LayerGradientSqNorms(objective="latent-sum")(model, ALL[:2].reshape(2, 1, *TINY.shape))
    assert str(caught.value) == (
        'objective = "latent-sum" needs a model with latent(x); '
        "TinyAutoregression lacks this method"
    )


def moved(model):
    """A model away from its initial values, and three groups of two images."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    generator = torch.Generator().manual_seed(1)
    shape = (3, 2, *model.domain.shape)
    return model, torch.randint(model.domain.levels, shape, generator=generator).to(torch.uint8)


def latents(model, y):
    """Latents of real-valued images, by the flow's transform: (N, D_L), the last level's."""
    y = y / model.domain.levels - 0.5
    if hasattr(model, "levels"):
        return model._descend(y)[0].flatten(1)
    return model.transform(y)[0]


OBJECTIVES = {
    "log-prob": lambda model, y: model.log_density(y),
    "latent-sum": lambda model, y: latents(model, y).sum(1),
}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_with_noise_the_objective_is_differentiated_within_the_bin(build, objective):
    """At x + u, with u the fixed noise of each example: not at x, nor at x + 1/2 + u."""
    torch.manual_seed(0)
    model, groups = moved(build())
    rows = []
    for group in groups:
        model.zero_grad(set_to_none=True)
        y = group + torch.from_numpy(fixed_noise(group.numpy()))
        OBJECTIVES[objective](model, y).sum().backward()
        rows.append([0.0 if p.grad is None else p.grad.square().sum() for p in model.parameters()])
    model.zero_grad(set_to_none=True)
    found = LayerGradientSqNorms(objective=objective, noise="dequantisation")(model, groups)
    np.testing.assert_allclose(found, np.array(rows), rtol=1e-9, atol=1e-12)
    assert not np.allclose(found, LayerGradientSqNorms(objective=objective)(model, groups))


@pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)
def test_the_log_probability_with_noise_is_the_density_within_the_bin(build):
    torch.manual_seed(0)
    model, groups = moved(build())
    examples = groups.flatten(0, 1).unsqueeze(1)
    found = LogProb(noise="dequantisation")(model, examples)
    np.testing.assert_allclose(found, DequantisedLogProb()(model, examples), rtol=1e-12)
    assert not np.allclose(found, LogProb()(model, examples), rtol=1e-6)


def test_a_model_trained_without_dequantisation_is_evaluated_without_noise():
    torch.manual_seed(0)
    model, groups = moved(linear(dequantisation="none"))
    for make in (LogProb, LayerGradientSqNorms):
        examples = groups.flatten(0, 1).unsqueeze(1)
        plain, noisy = (make(noise=noise)(model, examples) for noise in ("none", "dequantisation"))
        np.testing.assert_allclose(noisy, plain, rtol=1e-12)


@pytest.mark.parametrize("make", [LogProb, LayerGradientSqNorms])
def test_statistics_with_noise_conform(make):
    """The noise belongs to the example: alone, in a batch and again the values are the same."""
    domain = Images(3, 2, 2)
    checks = check_statistic(
        lambda: make(noise="dequantisation"),
        model=lambda domain: glow(domain, levels=1, steps=1, width=3),
        domain=domain,
    )
    assert_conforms(checks)


@pytest.mark.parametrize("make", [LogProb, LayerGradientSqNorms])
def test_noise_needs_a_model_with_dequantisation(make):
    model = TinyAutoregression(TINY)
    with pytest.raises(UnsupportedError) as caught:
        make(noise="dequantisation")(model, ALL[:2].reshape(2, 1, *TINY.shape))
    assert str(caught.value) == (
        'noise = "dequantisation" needs a model with dequantised(x); '
        "TinyAutoregression lacks this method"
    )
