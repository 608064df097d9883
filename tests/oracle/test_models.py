"""The flows against slow definitions, in float64: determinants, inverses, units, frequencies."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from oodbench import Images
from plugins.models.autoregressive import maf, spline_flow
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.models.realnvp import realnvp


def randomised(model, scale=0.1, seed=0):
    """The model in float64, every parameter moved away from its special initial value."""
    generator = torch.Generator().manual_seed(seed)
    model = model.to(torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(scale * noise)
    return model


def images(domain, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, *domain.shape)
    return torch.randint(0, domain.levels, shape, generator=generator).to(torch.uint8)


def middle(domain, x):
    return (x.to(torch.float64) + 0.5) / 2**domain.bits - 0.5


def small_linear(domain, steps=3, shared_steps=True):
    return glow_linear(domain, steps=steps, width=6, hidden_layers=1, shared_steps=shared_steps)


# A model and its domain; small enough for a Jacobian, odd sizes where the model takes them.
MODELS = {
    "glow-one-level": (lambda d: glow(d, levels=1, steps=2, width=5), Images(1, 2, 4, bits=5)),
    "glow-two-levels": (lambda d: glow(d, levels=2, steps=2, width=5), Images(1, 4, 8)),
    "glow-three-levels": (lambda d: glow(d, levels=3, steps=1, width=3), Images(1, 8, 8, bits=1)),
    "glow-colour": (lambda d: glow(d, levels=2, steps=1, width=5), Images(3, 4, 4, bits=5)),
    "realnvp": (lambda d: realnvp(d, levels=2, couplings=2, width=4), Images(1, 4, 8)),
    "realnvp-colour": (
        lambda d: realnvp(d, levels=1, couplings=1, width=4, blocks=2),
        Images(3, 2, 4, bits=5),
    ),
    "maf": (lambda d: maf(d, transforms=3, width=20), Images(1, 3, 5)),
    "maf-colour": (lambda d: maf(d, transforms=2, width=20), Images(3, 2, 3, bits=3)),
    "maf-one-pixel": (lambda d: maf(d, transforms=2, width=4), Images(1, 1, 1, bits=1)),
    "spline-flow": (lambda d: spline_flow(d, transforms=2, width=20, bins=4), Images(1, 3, 5)),
    "spline-flow-colour": (lambda d: spline_flow(d, transforms=3, width=9), Images(3, 2, 2)),
    "linear-shared": (small_linear, Images(1, 3, 5)),
    "linear-own": (lambda d: small_linear(d, shared_steps=False), Images(1, 3, 5, bits=3)),
    "linear-colour": (small_linear, Images(3, 2, 3)),
    "linear-one-pixel": (small_linear, Images(1, 1, 1, bits=1)),
}


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    make, domain = MODELS[request.param]
    return randomised(make(domain))


def raw_latents(model, y):
    """y through the levels, keeping what each split takes away, before any base density."""
    if not hasattr(model, "levels"):
        return model.transform(y)[0]
    parts = []
    for level in model.levels:
        y = level(y)[0]
        if len(parts) < len(model.levels) - 1:
            y, half = y[:, : y.shape[1] // 2], y[:, y.shape[1] // 2 :]
            parts.append(half.flatten(1))
    return torch.cat([*parts, y.flatten(1)], dim=1)


def log_abs_det(function, y):
    """The definition: slogdet of the autograd Jacobian, one example at a time."""
    rows = []
    for example in y:
        jacobian = torch.autograd.functional.jacobian(lambda e: function(e[None])[0], example)
        rows.append(torch.linalg.slogdet(jacobian.flatten(1)).logabsdet)
    return torch.stack(rows)


def kind(terms, name):
    """The sum of the terms of one kind over the levels."""
    return sum(term for key, term in terms.items() if key.partition(".")[0] == name)


def standard_base(model, z):
    """The density of the noise, from its distribution function or from torch.distributions."""
    if not hasattr(model, "steps"):
        return Normal(0.0, 1.0).log_prob(z).sum(1)
    return (torch.sigmoid(z) * torch.sigmoid(-z)).log().sum(1)  # F' = F (1 - F)


def test_ladj_is_the_log_determinant_of_the_map_to_the_latents(model):
    x = images(model.domain, 2)
    ladj = kind(model.log_prob_terms(x), "ladj")
    expected = log_abs_det(lambda y: raw_latents(model, y), middle(model.domain, x))
    torch.testing.assert_close(ladj, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("glow")])
def test_the_terms_of_each_level_of_glow_against_the_definition(name):
    """Jacobian of each level alone; the latents that leave it under normals from torch."""
    torch.manual_seed(0)
    make, domain = MODELS[name]
    model = randomised(make(domain))
    x = images(domain, 2)
    terms = model.log_prob_terms(x)
    h = middle(domain, x)
    depth = len(model.levels)
    for number, level in enumerate(model.levels):
        ladj = log_abs_det(lambda y, level=level: level(y)[0].flatten(1), h)
        h = level(h)[0]
        if number < depth - 1:
            given, leaves = h.chunk(2, dim=1)
            prior = model.splits[number].prior
        else:
            given, leaves, prior = torch.zeros_like(h).repeat(1, 2, 1, 1), h, model.top.prior
        mean, log_sd = prior.conv(given).chunk(2, dim=1)
        base = Normal(mean, log_sd.exp()).log_prob(leaves).flatten(1).sum(1)
        torch.testing.assert_close(terms[f"ladj.{number}"], ladj, rtol=0, atol=1e-10)
        torch.testing.assert_close(terms[f"base.{number}"], base, rtol=0, atol=1e-10)
        h = given
    assert len(terms) == 2 * depth + 1


def test_log_prob_is_the_change_of_variables_from_the_noise(model):
    x = images(model.domain, 2)
    y = middle(model.domain, x)
    ladj = log_abs_det(lambda y: model.transform(y)[0], y)
    bins = model.domain.dims * math.log(2**model.domain.bits)
    expected = standard_base(model, model.transform(y)[0]) + ladj - bins
    torch.testing.assert_close(model.log_prob(x), expected, rtol=0, atol=1e-10)


def test_inverse_undoes_transform(model):
    y = middle(model.domain, images(model.domain, 3))
    torch.testing.assert_close(model.inverse(model.transform(y)[0]), y, rtol=0, atol=1e-10)


def test_transform_undoes_inverse(model):
    z = model.draw_noise(3, torch.Generator().manual_seed(1)).to(torch.float64)
    assert z.shape == (3, model.domain.dims)
    torch.testing.assert_close(model.transform(model.inverse(z))[0], z, rtol=0, atol=1e-9)


def test_sample_returns_each_image_from_the_noise_behind_the_middle_of_its_bins(
    model, monkeypatch
):
    x = images(model.domain, 20)
    z = model.transform(middle(model.domain, x))[0].detach()
    monkeypatch.setattr(model, "draw_noise", lambda n, generator: z)
    assert torch.equal(model.sample(20, torch.Generator()), x)


def test_training_loss_is_the_density_at_the_noise_of_the_generator(model):
    x = images(model.domain, 4)
    loss = model.training_loss(x, torch.Generator().manual_seed(7))
    u = torch.rand(x.shape, generator=torch.Generator().manual_seed(7))
    y = (x.to(torch.float64) + u) / 2**model.domain.bits - 0.5
    _, base, ladj = model.transform(y)
    nats = model.domain.dims * model.domain.bits * math.log(2)
    torch.testing.assert_close(loss, nats - (base + ladj).mean())


# The density by hand


def test_a_one_step_linear_glow_by_hand():
    """Two pixels of 2 bits; every number as a Python float."""
    torch.manual_seed(0)
    domain = Images(1, 1, 2, bits=2)
    model = randomised(glow_linear(domain, steps=1, width=1, hidden_layers=1), scale=0.5)
    value = {name: p.detach().flatten().tolist() for name, p in model.named_parameters()}

    def net(name, kept):
        net = f"steps.0.coupling.{name}_net"
        h = max(0.0, value[f"{net}.0.weight"][0] * kept + value[f"{net}.0.bias"][0])
        h = max(0.0, value[f"{net}.2.weight"][0] * h + value[f"{net}.2.bias"][0])
        return value[f"{net}.4.weight"][1] * h + value[f"{net}.4.bias"][1]

    for first in range(4):
        for second in range(4):
            bias, log_scale = value["steps.0.norm.bias"][0], value["steps.0.norm.log_scale"][0]
            w = value["steps.0.mix.weight"][0]
            a = w * ((first + 0.5) / 4 - 0.5 + bias) * math.exp(log_scale)
            b = w * ((second + 0.5) / 4 - 0.5 + bias) * math.exp(log_scale)
            s = math.tanh(net("log_scale", a))
            b = b * math.exp(s) + net("shift", a)
            base = sum(-z - 2 * math.log(1 + math.exp(-z)) for z in (a, b))
            ladj = 2 * log_scale + 2 * math.log(abs(w)) + s
            x = torch.tensor([first, second], dtype=torch.uint8).reshape(1, 1, 1, 2)
            terms = {name: term.item() for name, term in model.log_prob_terms(x).items()}
            assert terms["base"] == pytest.approx(base, rel=1e-12)
            assert terms["ladj"] == pytest.approx(ladj, rel=1e-12)
            assert terms["bins"] == pytest.approx(-2 * math.log(4), rel=1e-15)


def test_a_one_step_glow_by_hand():
    """Four pixels, so that each convolution is a matrix: the middle of its kernel."""
    torch.manual_seed(0)
    model = randomised(glow(Images(1, 2, 2, bits=3), levels=1, steps=1, width=3), scale=0.3)
    value = {name.removeprefix("levels.0.steps.0."): p for name, p in model.state_dict().items()}
    x = images(model.domain, 1, seed=3)

    v = middle(model.domain, x).flatten()  # the four pixels in reading order are the channels
    v = (v + value["norm.bias"].flatten()) * value["norm.log_scale"].flatten().exp()
    lower = value["mix.lower"].tril(-1) + torch.eye(4).double()
    upper = value["mix.upper"].triu(1) + torch.diag(value["mix.sign"] * value["mix.log_s"].exp())
    v = value["mix.p"] @ lower @ upper @ v
    h = v[:2]
    for k in (1, 2):
        kernel = value[f"coupling.conv{k}.weight"]
        h = kernel[:, :, kernel.shape[2] // 2, kernel.shape[3] // 2] @ h
        h = h + value[f"coupling.norm{k}.bias"].flatten()
        h = torch.relu(h * value[f"coupling.norm{k}.log_scale"].flatten().exp())
    out = value["coupling.conv3.weight"][:, :, 1, 1] @ h + value["coupling.conv3.bias"]
    out = out * (3 * value["coupling.conv3.log_scale"].flatten()).exp()
    scale = 1 / (1 + (-out[2:] - 2).exp())
    v = torch.cat((v[:2], (v[2:] + out[:2]) * scale))
    ladj = value["norm.log_scale"].sum() + value["mix.log_s"].sum() + scale.log().sum()
    top = model.top.prior.conv
    learned = top.bias * (3 * top.log_scale.flatten()).exp()
    mean, sd = learned[:4], learned[4:].exp()
    base = (-0.5 * ((v - mean) / sd) ** 2 - sd.log() - 0.5 * math.log(2 * math.pi)).sum()

    terms = model.log_prob_terms(x)
    torch.testing.assert_close(terms["ladj.0"][0], ladj)
    torch.testing.assert_close(terms["base.0"][0], base)
    assert terms["bins"].item() == pytest.approx(-4 * 3 * math.log(2), rel=1e-15)


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_a_new_glow_gives_a_black_image_a_known_probability(bits):
    """The middle of bin 0 is -1/2 + 2**-(b+1); from there on only the constants of b bits."""
    torch.manual_seed(0)
    domain = Images(1, 2, 2, bits=bits)
    model = glow(domain, levels=1, steps=1, width=2).double()
    x = torch.zeros(1, *domain.shape, dtype=torch.uint8)
    y = -0.5 + 0.5 / 2**bits
    scale = 1 / (1 + math.exp(-2))
    mixed = model.levels[0].steps[0].mix.weight().sum(1) * y
    v = torch.cat((mixed[:2], mixed[2:] * scale))
    base = Normal(0.0, 1.0).log_prob(v).sum().item()
    expected = base + 2 * math.log(scale) - 4 * bits * math.log(2)
    assert model.log_prob(x).item() == pytest.approx(expected, abs=1e-6)


# The density as a whole


def grid(dims, half_width, points):
    """The points of a grid over a cube around 0, and the volume of one cell."""
    axis = (torch.arange(points, dtype=torch.float64) + 0.5) / points * 2 - 1
    return torch.cartesian_prod(*[half_width * axis] * dims), (2 * half_width / points) ** dims


def density(model, y):
    with torch.no_grad():
        _, base, ladj = model.transform(y.reshape(-1, *model.domain.shape))
    return (base + ladj).exp()


@pytest.mark.parametrize("shared_steps", [True, False])
def test_the_density_of_the_linear_glow_integrates_to_one(shared_steps):
    torch.manual_seed(0)
    domain = Images(1, 1, 2, bits=4)
    model = glow_linear(domain, steps=4, width=8, hidden_layers=1, shared_steps=shared_steps)
    model = randomised(model)
    y, cell = grid(2, half_width=60.0, points=1000)
    assert (density(model, y).sum() * cell).item() == pytest.approx(1, abs=1e-4)


def test_the_density_of_glow_integrates_to_one():
    torch.manual_seed(0)
    model = randomised(glow(Images(1, 2, 2, bits=4), levels=1, steps=2, width=6))
    y, cell = grid(4, half_width=8.0, points=26)
    assert (density(model, y).sum() * cell).item() == pytest.approx(1, abs=1e-4)


TINY = Images(1, 2, 2, bits=2)
ALL = torch.cartesian_prod(*[torch.arange(4, dtype=torch.uint8)] * 4).reshape(-1, 1, 2, 2)
TINY_MODELS = {
    "glow": lambda: glow(TINY, levels=1, steps=2, width=8),
    "linear-shared": lambda: small_linear(TINY, steps=4),
    "linear-own": lambda: small_linear(TINY, steps=4, shared_steps=False),
}


@pytest.fixture(scope="module", params=TINY_MODELS)
def trained(request):
    """A model trained for 150 steps on examples of four pixels, two of them correlated."""
    torch.manual_seed(0)
    model = TINY_MODELS[request.param]().to(torch.float64)
    generator = torch.Generator().manual_seed(0)
    pixels = ALL.to(torch.float64).flatten(1)
    logits = -((pixels - 1.5) ** 2).sum(1) / 2 - (pixels[:, 0] - pixels[:, 1]) ** 2 / 2
    x = ALL[torch.multinomial(logits.softmax(0), 2048, replacement=True, generator=generator)]
    model.prepare(x)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        batch = x[torch.randint(0, len(x), (128,), generator=generator)]
        optimiser.zero_grad()
        model.training_loss(batch, generator).backward()
        optimiser.step()
    return model.eval()


def test_unit_check(trained):
    """Sum of P over all 256 images: 1 less the tails outside the range, here 6 to 14 %."""
    with torch.no_grad():
        total = trained.log_prob(ALL).exp().sum().item()
    assert 0.83 < total <= 1.001


def bin_probabilities(model, x, *, points):
    """Integral of the density over the bins of each image, by Gauss-Legendre in each pixel."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(points))
    offsets = torch.cartesian_prod(*[nodes / 2] * 4) / 4  # within a bin of width 1/4
    weight = torch.cartesian_prod(*[weights / 2] * 4).prod(1) / 4**4
    y = middle(model.domain, x).flatten(1)[:, None] + offsets
    return (density(model, y).reshape(len(x), -1) * weight).sum(1)


def test_samples_fall_into_the_bins_as_often_as_the_density_says(trained):
    """Of images away from the edges, which also take what is clamped to them."""
    n = 40_000
    samples = trained.sample(n, torch.Generator().manual_seed(1))
    places = torch.tensor([64, 16, 4, 1])
    counts = torch.bincount((samples.flatten(1).long() * places).sum(1), minlength=256)
    inner = ((ALL == 1) | (ALL == 2)).flatten(1).all(1)
    expected = n * bin_probabilities(trained, ALL[inner], points=6)
    chi_square = ((counts[inner] - expected) ** 2 / expected).sum().item()
    assert expected.min() > 50
    assert chi_square < 50  # 16 cells: mean 16, standard deviation 6


def test_the_probability_at_the_middle_is_near_that_of_the_bin(trained):
    with torch.no_grad():
        middle_rule = trained.log_prob(ALL).exp()
    exact = bin_probabilities(trained, ALL, points=6)
    assert (middle_rule - exact).abs().sum() / 2 < 0.1


def test_training_loss_is_on_average_near_minus_log_prob(trained):
    """Near, as the density is curved within a bin: above, since the middle is its top."""
    x = trained.sample(4096, torch.Generator().manual_seed(2))
    with torch.no_grad():
        loss = trained.training_loss(x, torch.Generator().manual_seed(3)).item()
        middle_of_bins = -trained.log_prob(x).mean().item()
    assert loss == pytest.approx(middle_of_bins, abs=0.5)
