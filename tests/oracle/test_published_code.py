"""What the paper's published code does otherwise, each by its option and off by default."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.registry.options import validate_options
from harness.testing.toy_models import TinyAutoregression
from oodbench import Images, UnsupportedError
from oodbench.testing import assert_conforms, check_model
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.statistics.layer_gradient_sq_norms import LayerGradientSqNorms

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
    assert validate_options(LayerGradientSqNorms, {}) == {"objective": "log-prob"}
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
