"""Networks in bfloat16: nothing else is rounded, and results are near those in float32."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from harness.compute.checkpoints import load_tensors
from harness.compute.precision import bfloat16_networks, in_bfloat16
from harness.compute.seeds import generator
from harness.compute.trainer import Training, training_loss
from harness.detectors.folder import read_folder
from harness.detectors.make import make_detector
from harness.registry.registry import Registry
from harness.run.run import run
from harness.suite import Recipe, load_suite
from harness.testing.model_subject import domains_for
from oodbench import HasLogProbTerms, Images, Preparable, full_precision
from plugins.models.glow import glow
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from tests.conformance.test_registered import build, names

CPU = torch.device("cpu")
PRODUCTS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)
HAS_PRODUCTS = sorted(set(names("models")) - {"bigram"})
small_glow = partial(glow, levels=2, steps=2, width=16)


@pytest.fixture
def model_and_examples(request):
    """A small registered model with changed parameters, and examples."""
    made = build("models", request.param)
    domain = domains_for(made).model
    torch.manual_seed(0)
    model = made(domain).eval()
    x = torch.randint(domain.levels, (6, *domain.shape), generator=generator(0, "x"))
    x = x.to(getattr(torch, domain.input_dtype))
    if isinstance(model, Preparable):
        model.prepare(x)
    with torch.no_grad():
        for _, parameter in model.named_parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model, x


def silence(model):
    """Let networks return constants that bfloat16 holds; base densities of flows stay."""
    for name, module in model.named_modules():
        if isinstance(module, PRODUCTS) and "prior.conv" not in name:
            nn.init.zeros_(module.weight)
            bias = getattr(module, "bias", None)
            if bias is not None:
                bias.data.copy_(torch.arange(len(bias)) % 7 / 8 - 0.375)


def numbers_of(model, x):
    """Every number in nats that a model gives for some examples, by name."""
    found = {"log_prob": model.log_prob(x)}
    if isinstance(model, HasLogProbTerms):
        found |= model.log_prob_terms(x)
    with bfloat16_networks(CPU) if hasattr(model, "in_full_precision") else torch.no_grad():
        found["training loss"] = training_loss(model, x, generator(0, "loss"))
    return {name: value.detach() for name, value in found.items()}


@pytest.mark.parametrize("model_and_examples", HAS_PRODUCTS, indirect=True)
def test_only_networks_are_rounded(model_and_examples):
    model, x = model_and_examples
    silence(model)
    exact, rounded = numbers_of(model, x), numbers_of(in_bfloat16(model), x)
    for name, value in rounded.items():
        assert value.dtype == torch.float32, name
        torch.testing.assert_close(value, exact[name], rtol=2e-6, atol=2e-5, msg=name)


@pytest.mark.parametrize("model_and_examples", HAS_PRODUCTS, indirect=True)
def test_networks_are_rounded_and_results_stay_near(model_and_examples):
    model, x = model_and_examples
    exact = model.log_prob(x)
    rounded = in_bfloat16(model).log_prob(x)
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=3e-3, atol=3e-3)
    with full_precision(model):
        assert torch.equal(model.log_prob(x), exact)
    assert torch.equal(model.log_prob(x), rounded)


def test_what_surrounds_a_model_is_not_rounded():
    model = in_bfloat16(small_glow(Images(1, 8, 8)))
    model.log_prob(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    a = torch.randn(8, 8)
    assert (a @ a).dtype == torch.float32
    assert type(model).__name__ == "Glow"


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (64, 1, 8, 8), dtype=np.uint8)


def trained(images, precision, epochs=2):
    recipe = Recipe(minibatch=16, precision=precision, clip_grad_norm=10.0)
    component = SimpleNamespace(recipe=recipe, build=small_glow)
    training = Training(component, Images(1, 8, 8), images, 1, CPU)
    training.start()
    losses = [training.run_epoch(lambda amount: None) for _ in range(epochs)]
    return training, losses


def test_training_keeps_weights_and_optimiser_in_float32_and_repeats_itself(images):
    training, losses = trained(images, "bfloat16")
    state = training.state()
    for content in state:
        kinds = {tensor.dtype for tensor in load_tensors(content).values()}
        assert kinds <= {torch.float32, torch.bool}
    again, _ = trained(images, "bfloat16")
    assert again.state() == state
    exact, exact_losses = trained(images, "float32")
    assert exact.state()[0] != state[0]
    assert losses == pytest.approx(exact_losses, abs=2e-3)  # of 8 bits per dimension
    assert training.own_bits_per_dim(images) == pytest.approx(
        exact.own_bits_per_dim(images), abs=2e-3
    )


def test_gradients_point_the_same_way(images):
    flat = []
    for precision in ("float32", "bfloat16"):
        training, _ = trained(images, precision, epochs=1)
        training.model.load_state_dict(load_tensors(trained(images, "float32", 1)[0].state()[0]))
        training.optimizer.zero_grad(set_to_none=True)
        x = torch.from_numpy(images[:32])
        training._gradients(training.model, x, generator(0, "noise", 1))
        gradients = [p.grad for p in training.model.parameters() if p.grad is not None]
        assert {g.dtype for g in gradients} == {torch.float32}
        flat.append(torch.cat([g.flatten() for g in gradients]))
    exact, rounded = flat
    assert 0 < float((rounded - exact).norm() / exact.norm()) < 0.02


def trained_glow(images):
    training, _ = trained(images, "float32", epochs=3)
    return training.model.eval()


@pytest.mark.parametrize("size", [1, 2])
def test_the_engine_in_bfloat16_agrees_with_float32(images, size):
    model, groups = trained_glow(images), torch.from_numpy(images[:24]).unflatten(0, (-1, size))
    engine = LayerGradientEngine()
    exact = engine(model, groups)
    in_bfloat16(model)
    rounded, looped = engine(model, groups), looped_layer_gradients(model, groups)
    assert engine.plan(model, groups) is not None
    assert not torch.equal(rounded, exact)
    seen = exact > 0
    assert torch.equal(rounded > 0, seen)
    for other, median, largest in ((exact, 0.01, 0.3), (looped, 0.01, 0.3)):
        difference = (rounded[seen].log() - other[seen].log()).abs()
        assert float(difference.median()) < median
        assert float(difference.max()) < largest


def test_rules_for_single_layers_agree_too(images):
    model, groups = trained_glow(images), torch.from_numpy(images[:8]).unsqueeze(1)
    exact = LayerGradientEngine()(model, groups)
    for level in model.levels:
        level.register_forward_hook(lambda module, args, output: None)  # no fused rule, then
    rounded = LayerGradientEngine()(in_bfloat16(model), groups)
    seen = exact > 0
    difference = (rounded[seen].log() - exact[seen].log()).abs()
    assert 1e-5 < float(difference.median()) < 0.01
    assert float(difference.max()) < 0.3


SUITE = """
    [training.brief]
    learning_rate = 1e-3
    examples = 64
    precision = "bfloat16"

    [models.full]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 8 }
    training = "brief"

    [models.rounded]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 8 }
    training = "brief"
    evaluation_precision = "bfloat16"

    [datasets.digits]
    plugin = "digits"

    [datasets.noise]
    plugin = "noise"
    options = { n_train = 1, n_test = 20 }

    [[comparisons]]
    models = ["full", "rounded"]
    in = "digits"
    out = "noise"
    epochs = [3]
    scorers = ["log-likelihood"]
    n_in = 20
    n_fit = 20
    n_out = 20
"""


def test_evaluations_in_bfloat16_share_the_training_and_have_values_of_their_own(
    write_suite, settings, tmp_path
):
    suite = load_suite(write_suite(SUITE))
    outcome = run(suite, settings, lambda event: None)
    full, rounded = outcome.results
    assert (full.cell.model, rounded.cell.model) == ("full", "rounded")
    assert len(list(settings.store.glob("checkpoints/*"))) == 1
    assert not np.array_equal(full.scores_in, rounded.scores_in)
    np.testing.assert_allclose(rounded.scores_in, full.scores_in, rtol=1e-3)
    make_detector(suite, settings, {"model": "rounded"}, tmp_path / "detector")
    (used,) = read_folder(tmp_path / "detector").description.models
    assert (used.precision, used.evaluation_precision) == ("float32", "bfloat16")
    model = used.component("models", Registry())
    assert model.evaluation_precision == "bfloat16"
