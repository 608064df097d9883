"""The models as the harness uses them: contract, data-dependent start, training, samples."""

import pytest
import torch
from safetensors.torch import load, save

from oodbench import DensityModel, HasLogProbTerms, Images, Preparable, Samplable, Trainable
from plugins.models.autoregressive import maf, spline_flow
from plugins.models.flows.actnorm import ActNorm
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.models.realnvp import realnvp

MODELS = {
    "glow": (lambda d: glow(d, levels=2, steps=2, width=6), Images(1, 4, 8)),
    "glow-colour": (lambda d: glow(d, levels=1, steps=2, width=6), Images(3, 4, 4, bits=5)),
    "realnvp": (lambda d: realnvp(d, levels=2, couplings=1, width=6), Images(1, 4, 8)),
    "maf": (lambda d: maf(d, transforms=2, width=16), Images(1, 3, 5)),
    "spline-flow": (
        lambda d: spline_flow(d, transforms=2, width=16, bins=3),
        Images(3, 2, 2, bits=5),
    ),
    "linear-shared": (
        lambda d: glow_linear(d, steps=3, width=8, hidden_layers=1),
        Images(1, 3, 5),
    ),
    "linear-own": (
        lambda d: glow_linear(d, steps=3, width=8, hidden_layers=1, shared_steps=False),
        Images(3, 3, 2, bits=3),
    ),
}


def randomise(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape).to(parameter))


def build(name, dtype=torch.float64):
    torch.manual_seed(0)
    make, domain = MODELS[name]
    return make(domain).to(dtype)


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture
def model(name):
    model = build(name)
    randomise(model)
    return model


def images(domain, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, *domain.shape)
    return torch.randint(0, domain.levels, shape, generator=generator).to(torch.uint8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def initialised(model):
    """The saved flags of the ActNorms."""
    return [bool(v) for k, v in model.state_dict().items() if k.endswith("initialised")]


# The contract


def test_the_models_keep_the_protocols(model):
    for protocol in (DensityModel, Preparable, Trainable, Samplable, HasLogProbTerms):
        assert isinstance(model, protocol)
    assert model.likelihood == "exact"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_prob_has_the_dtype_of_the_parameters_and_leaves_the_examples(name, dtype):
    model = build(name, dtype)
    x = images(model.domain, 3)
    before = x.clone()
    log_prob = model.log_prob(x)
    assert log_prob.shape == (3,)
    assert log_prob.dtype == dtype
    assert torch.equal(x, before)
    assert x.dtype == torch.uint8


def test_float32_agrees_with_float64(model):
    x = images(model.domain, 5)
    exact = model.log_prob(x)
    torch.testing.assert_close(model.float().log_prob(x).double(), exact, rtol=1e-4, atol=1e-3)


def test_log_prob_is_deterministic_and_blind_to_the_mode(model):
    x = images(model.domain, 4)
    first = model.train().log_prob(x)
    torch.manual_seed(99)
    assert torch.equal(model.eval().log_prob(x), first)


def test_no_log_prob_depends_on_the_rest_of_the_batch(model):
    x = images(model.domain, 6)
    together = model.log_prob(x)
    alone = torch.cat([model.log_prob(x[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(alone, together, rtol=1e-12, atol=1e-10)
    torch.testing.assert_close(model.log_prob(x[[4, 1]]), together[[4, 1]])


def test_the_terms_sum_to_log_prob(model):
    x = images(model.domain, 3)
    terms = model.log_prob_terms(x)
    levels = [f".{level}" for level in range(len(model.levels))] if hasattr(model, "top") else [""]
    assert list(terms) == [f"{kind}{n}" for n in levels for kind in ("base", "ladj")] + ["bins"]
    assert all(term.shape == (3,) for term in terms.values())
    torch.testing.assert_close(sum(terms.values()), model.log_prob(x))


def test_no_examples_have_no_log_prob(model):
    assert model.log_prob(images(model.domain, 0)).shape == (0,)


def test_every_layer_has_a_finite_gradient(model):
    model.log_prob(images(model.domain, 2)).sum().backward()
    zero = [name for name, p in model.named_parameters() if not p.grad.any()]
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert zero == [name for name in model.state_dict() if name == "top.prior.conv.weight"]


def test_the_state_holds_all_that_log_prob_depends_on(name, model):
    x = images(model.domain, 5)
    model.prepare(images(model.domain, 50, seed=1))
    torch.manual_seed(1)
    make, domain = MODELS[name]
    other = make(domain).to(torch.float64)
    assert not torch.equal(other.log_prob(x), model.log_prob(x))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.log_prob(x), model.log_prob(x))
    assert initialised(other) == [True] * len(
        [m for m in model.modules() if isinstance(m, ActNorm)]
    )


def test_the_state_can_be_written_as_safetensors(model):
    assert load(save(model.state_dict())).keys() == model.state_dict().keys()


def test_initial_weights_come_from_the_global_generator(name):
    first, second = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


# The start


def norm_outputs(model, x):
    """What each ActNorm gives when log_prob runs, one list of outputs by name."""
    seen, hooks = {}, []
    for key, norm in model.named_modules():
        if isinstance(norm, ActNorm):

            def keep(_, args, out, key=key):
                seen.setdefault(key, []).append(out[0] if isinstance(out, tuple) else out)

            hooks.append(norm.register_forward_hook(keep))
    model.log_prob(x)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("name", ["glow", "glow-colour", "linear-own"])
def test_prepare_normalises_what_every_actnorm_gives(model):
    x = images(model.domain, 100)
    assert not any(initialised(model))
    model.prepare(x)
    outputs = norm_outputs(model, x)
    assert len(outputs) > 2
    for (y,) in outputs.values():
        variance, mean = torch.var_mean(y, (0, 2, 3), correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-10)
        torch.testing.assert_close(variance, torch.ones_like(mean), rtol=1e-9, atol=0)
    assert all(initialised(model))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("steps", [2, 10])
def test_prepare_normalises_all_shared_steps_together(channels, steps):
    torch.manual_seed(0)
    domain = Images(channels, 4, 4)
    model = glow_linear(domain, steps=steps, width=4, hidden_layers=1).to(torch.float64)
    with torch.no_grad():  # couplings that do nothing, so that the norms stand alone
        for net in (model.steps[0].coupling.log_scale_net, model.steps[0].coupling.shift_net):
            net[-1].weight.zero_()
            net[-1].bias.zero_()
    x = images(domain, 200) // 3
    model.prepare(x)
    z = model.latent(x).reshape(-1, *domain.shape)
    variance, mean = torch.var_mean(z, (0, 2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-6)
    assert variance.mean().item() == pytest.approx(1, rel=1e-6)
    assert model.steps[0].norm.initialised


def test_shared_steps_do_not_blow_up_from_the_start():
    torch.manual_seed(0)
    model = glow_linear(Images(1, 8, 8), steps=10, width=32, hidden_layers=4)
    x = images(model.domain, 200)
    model.prepare(x)
    assert 0.5 < model.latent(x).std().item() < 3  # if each step normalised alone: 1e5


def test_prepare_starts_again_on_a_model_that_is_initialised(name):
    once, twice = build(name), build(name)
    x = images(once.domain, 50)
    once.prepare(x)
    twice.prepare(images(once.domain, 50, seed=1) // 2)
    twice.prepare(x)
    torch.testing.assert_close(twice.state_dict(), once.state_dict())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0, 1])
def test_constant_images_give_finite_numbers(name, dtype, value):
    model = build(name, dtype)
    constant = torch.full((10, *model.domain.shape), value * (model.domain.levels - 1))
    model.prepare(constant.to(torch.uint8))
    for x in (constant.to(torch.uint8), images(model.domain, 10)):
        log_prob = model.log_prob(x)
        log_prob.sum().backward()
        assert log_prob.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_one_constant_image_does_not_blow_up_a_deep_glow():
    model = glow(Images(1, 8, 8), levels=2, steps=24, width=4)
    model.prepare(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    assert model.log_prob(images(model.domain, 4)).isfinite().all()


# Training and samples


def test_training_loss_draws_from_its_generator_alone(model):
    x = images(model.domain, 4)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = model.training_loss(x, generator(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == ()
    assert torch.equal(model.training_loss(x, generator(1)), first)
    assert not torch.equal(model.training_loss(x, generator(2)), first)


def test_training_lowers_the_loss(name):
    model = build(name)
    x = images(model.domain, 64) // 4
    model.prepare(x)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    losses, noise = [], generator()
    for _ in range(40):
        optimiser.zero_grad()
        loss = model.training_loss(x, noise)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1


def test_samples_are_images_of_the_domain(model):
    state = torch.get_rng_state()
    x = model.sample(50, generator())
    assert torch.equal(torch.get_rng_state(), state)
    assert x.dtype == torch.uint8
    assert x.shape == (50, *model.domain.shape)
    assert x.max().item() < model.domain.levels
    assert len(x.unique(dim=0)) > 40
    assert not x.requires_grad


def test_samples_depend_on_the_generator_alone(model):
    assert torch.equal(model.sample(5, generator(3)), model.sample(5, generator(3)))
    assert not torch.equal(model.sample(5, generator(3)), model.sample(5, generator(4)))


def test_at_temperature_zero_there_is_one_sample(model):
    x = model.sample(6, generator(), temperature=0.0)
    assert torch.equal(x, model.sample(6, generator(1), temperature=0.0))
    assert len(x.unique(dim=0)) == 1


def test_temperature_is_a_factor_on_the_noise(model, monkeypatch):
    z = model.draw_noise(4, generator())
    cool = model.sample(4, generator(), temperature=0.5)
    monkeypatch.setattr(model, "draw_noise", lambda n, generator: 0.5 * z)
    assert torch.equal(model.sample(4, generator()), cool)


def test_no_samples(model):
    assert model.sample(0, generator()).shape == (0, *model.domain.shape)


@pytest.mark.parametrize(("name", "variance"), [("glow", 1.0), ("linear-own", torch.pi**2 / 3)])
def test_noise_has_the_variance_of_the_base(model, variance):
    z = model.draw_noise(20_000, generator())
    assert z.dtype == torch.float32
    assert z.isfinite().all()
    assert z.mean().item() == pytest.approx(0, abs=0.02)
    assert z.var().item() == pytest.approx(variance, rel=0.02)


# The latent of the published code


def test_the_latent_of_glow_leaves_out_the_base_densities():
    torch.manual_seed(0)
    model = glow(Images(1, 4, 8), levels=2, steps=2, width=6).to(torch.float64)
    randomise(model)
    z = model.latent(images(model.domain, 3))
    assert z.shape == (3, 16)
    z.sum().backward()
    without = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is None}
    assert without == {"splits", "top"}


def test_the_latent_of_glow_is_what_reaches_the_top():
    torch.manual_seed(0)
    model = glow(Images(1, 4, 8), levels=2, steps=2, width=6).to(torch.float64)
    randomise(model)
    x = images(model.domain, 3)
    y, _ = model.levels[0]((x.double() + 0.5) / 256 - 0.5)
    y, _ = model.levels[1](y[:, :2])
    torch.testing.assert_close(model.latent(x), y.flatten(1))
