"""The diffusion model's bound against known distributions and plain definitions, in float64."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from oodbench import Images
from plugins.models.diffusion import diffusion
from plugins.models.networks.diffusion import Diffusion
from plugins.models.networks.pixel_mixture import PixelMixture, lattice
from plugins.models.networks.readings import gamma_range, make_reading, published_levels
from plugins.models.networks.unet import Attention

TINY = Images(1, 1, 2, bits=2)
EVERY = torch.tensor(list(itertools.product(range(4), repeat=2))).reshape(-1, 1, 1, 2).byte()
FINE = Images(1, 1, 3)
X = torch.tensor([[100, 120, 90], [130, 128, 20]]).reshape(-1, 1, 1, 3).byte()


def images(domain, n):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, domain.levels, (n, *domain.shape), generator=generator).byte()


def scaled(domain, x):
    return 2 * (x.double() + 0.5) / domain.levels - 1


def model_of(domain, denoiser, draws, noise_seed=0):
    reading = make_reading("bound", domain, 1)
    options = {"denoiser": denoiser, "reading": reading, "draws": draws}
    return Diffusion(domain, **options, noise_seed=noise_seed).double()


def of_each_draw(model, x):
    """The diffusion term of one example, for each draw, (K,)."""
    y = scaled(model.domain, x).expand(len(model.levels), *model.domain.shape)
    return model._reading.factor * model._error(y, model.levels, model.noise)


def standard_error(model, x):
    """Of the mean over draws at evenly spaced times: neighbours differ by their noise alone."""
    steps = torch.stack([of_each_draw(model, example[None]).diff() for example in x])
    return (steps.square().sum(1) / 2).sqrt() / len(model.levels)


class Posterior(nn.Module):
    """The best estimate of the noise for images with probabilities `p`, by enumeration."""

    def __init__(self, p):
        super().__init__()
        self.p, self.y = p, scaled(TINY, EVERY)

    def forward(self, z, gamma):
        alpha, sigma = (torch.sigmoid(g).sqrt()[:, None, None, None] for g in (-gamma, gamma))
        noise = (z.unsqueeze(1) - alpha.unsqueeze(1) * self.y) / sigma.unsqueeze(1)
        logits = self.p.log() - 0.5 * noise.square().flatten(2).sum(2)
        return (logits.softmax(1)[:, :, None, None, None] * noise).sum(1)


P = torch.rand(16, generator=torch.Generator().manual_seed(3)).double() + 0.1
P /= P.sum()


def test_the_bound_is_the_log_probability_if_the_noise_is_estimated_as_well_as_possible():
    model = model_of(TINY, Posterior(P), draws=20_000)
    bound, error = model.log_prob(EVERY), standard_error(model, EVERY)
    assert error.max() < 0.1
    assert ((bound - P.log()).abs() < 4 * error + 0.03).all()


def test_samples_have_the_probabilities_of_the_images():
    model, n = model_of(TINY, Posterior(P), draws=1), 2000
    x = model.sample(n, torch.Generator().manual_seed(0)).flatten(1).long()
    counts = torch.bincount(4 * x[:, 0] + x[:, 1], minlength=16).double()
    assert ((counts - n * P).square() / (n * P)).sum() < 37.7  # 0.1 % of chi-square, 15 degrees


MEAN = torch.tensor([-0.1, 0.0, 0.1]).double()
FACTOR = torch.tensor([[0.3, 0, 0], [0.15, 0.2, 0], [-0.1, 0.2, 0.25]]).double()
COVARIANCE = FACTOR @ FACTOR.T


class Linear(nn.Module):
    """The best estimate of the noise for Gaussian images."""

    def matrices(self, gamma):
        """A, (N, 3, 3), in E[noise | z] = A (z - alpha mean)."""
        variance = torch.sigmoid(gamma)[:, None, None]
        identity = torch.eye(3).double()
        return variance.sqrt() * torch.linalg.inv(
            (1 - variance) * COVARIANCE + variance * identity
        )

    def forward(self, z, gamma):
        alpha = torch.sigmoid(-gamma).sqrt()[:, None]
        centred = z.flatten(1) - alpha * MEAN
        return (self.matrices(gamma) @ centred.unsqueeze(2)).reshape(z.shape)


class LinearOnGreyLevels(Linear):
    """The same, knowing that every number is a grey level."""

    def forward(self, z, gamma):
        s, alpha = ((g / 2).exp()[:, None, None, None] for g in (gamma, -torch.log1p(gamma.exp())))
        return super().forward(z, gamma) + lattice(z / alpha, s, 2 / FINE.levels)[1]


def test_the_bound_of_gaussian_images_is_their_log_probability():
    model = model_of(FINE, LinearOnGreyLevels(), draws=10_000)
    density = MultivariateNormal(MEAN, COVARIANCE).log_prob(scaled(FINE, X).flatten(1))
    bound, error = model.log_prob(X), standard_error(model, X)
    assert error.max() < 0.2
    truth = density + FINE.dims * math.log(2 / FINE.levels)
    assert ((bound - truth).abs() < 4 * error + 0.05).all()


def test_continuous_time_is_the_limit_of_many_discrete_steps():
    """The sum over 4,000 steps (Kingma et al., Eq. 14), with the expected error in closed form."""
    low, high = gamma_range(FINE)
    steps = torch.linspace(low, high, 4001).double()
    alpha, sigma = (torch.sigmoid(g).sqrt() for g in (-steps[1:], steps[1:]))
    matrix = Linear().matrices(steps[1:])
    rest = torch.eye(3).double() - sigma[:, None, None] * matrix
    model = model_of(FINE, Linear(), draws=20_000)
    for x in X:
        moved = (matrix @ (scaled(FINE, x).flatten() - MEAN)).square().sum(1)
        errors = rest.square().sum((1, 2)) + alpha.square() * moved
        expected = 0.5 * (torch.expm1(steps[1:] - steps[:-1]) * errors).sum()
        found = -model.log_prob_terms(x[None])["diffusion"][0]
        error = standard_error(model, x[None])[0]
        assert error < 0.15
        assert abs(found - expected) < 4 * error + 0.02


def test_log_prob_is_the_definition_draw_by_draw():
    """One example and one draw at a time; the reconstruction by Gauss-Hermite quadrature."""
    domain = Images(3, 5, 3, bits=5)
    torch.manual_seed(0)
    model = diffusion(domain, width=4, halvings=1, heads=2, draws=4).double()
    gamma0, gamma1 = -13.3 + 2 * math.log(8), 5.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    grid = scaled(domain, torch.arange(32))
    rows = []
    for x in images(domain, 3):
        y = scaled(domain, x)
        terms, controlled = [], [None] * 4
        for gamma, noise in zip(model.levels, model.noise, strict=True):
            variance = 1 / (1 + torch.exp(-gamma))
            z = (1 - variance).sqrt() * y + variance.sqrt() * noise
            estimate = model.denoiser(z[None], gamma[None])[0]
            terms.append((gamma1 - gamma0) / 2 * ((noise - estimate) ** 2).sum())
        variance = 1 / (1 + math.exp(-gamma1))
        q = torch.distributions.Normal((1 - variance) ** 0.5 * y, variance**0.5)
        prior = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum()
        reconstruction = 0.0
        for level in x.flatten():
            z = grid[level.long()] + math.exp(gamma0 / 2) * torch.tensor(nodes)
            logits = -((z[:, None] - grid) ** 2) / (2 * math.exp(gamma0))
            log_p = logits[:, level.long()] - logits.logsumexp(1)
            reconstruction -= float(torch.tensor(weights) @ log_p) / weights.sum()
        for k in range(4):  # less the part of each term that the length of its noise explains
            share = (terms[k - 1] + terms[(k + 1) % 4]).detach() / 2 / domain.dims
            controlled[k] = terms[k] - share * ((model.noise[k] ** 2).sum() - domain.dims)
        rows.append(-(torch.stack(controlled).mean() + prior + reconstruction))
    torch.testing.assert_close(
        model.log_prob(images(domain, 3)), torch.stack(rows), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize(("objective", "power"), [("simple", 2), ("l1-at-t", 1)])
def test_the_other_readings_are_mean_errors_of_the_noise(objective, power):
    domain = Images(1, 4, 4)
    torch.manual_seed(0)
    options = {"objective": objective, "timestep": 40, "draws": 3}
    model, x = diffusion(domain, width=4, halvings=1, **options).double(), images(domain, 1)
    levels = published_levels().double()
    if objective == "simple":
        assert torch.isin(model.levels, levels).all()
        assert model.levels.unique().numel() == 3
    else:
        assert torch.equal(model.levels, levels[39].expand(3))
    errors = []
    for gamma, noise in zip(model.levels, model.noise, strict=True):
        z = torch.sigmoid(-gamma).sqrt() * scaled(domain, x) + torch.sigmoid(gamma).sqrt() * noise
        errors.append((noise - model.denoiser(z, gamma[None])).abs().pow(power).sum())
    torch.testing.assert_close(model.log_prob(x)[0], -torch.stack(errors).mean())
    assert model.likelihood == "unnormalized"
    assert list(model.log_prob_terms(x)) == ["diffusion"]


def test_the_published_noise_levels():
    """The variances of Ho et al.: 1e-4 after a step, 1 - 4.04e-5 after 1,000 steps."""
    levels = published_levels().double()
    assert torch.sigmoid(levels[0]) == pytest.approx(1e-4, rel=1e-4)
    assert torch.sigmoid(-levels[-1]) == pytest.approx(4.0358e-5, rel=1e-3)
    variance = 1 - torch.sigmoid(levels)
    beta = 1 - variance[1:] / variance[:-1]
    torch.testing.assert_close(
        beta, torch.linspace(1e-4, 0.02, 1000).double()[1:], rtol=1e-2, atol=1e-6
    )


def test_training_minimises_the_bound():
    model, generator = model_of(FINE, Linear(), draws=20_000), torch.Generator().manual_seed(0)
    x = X.repeat(100, 1, 1, 1)
    losses = torch.stack([model.training_loss(x, generator) for _ in range(50)])
    error = losses.std() / 50**0.5 + standard_error(model, X).max()
    assert abs(losses.mean() + model.log_prob(X).mean()) < 4 * error
    assert error < 0.3


def test_the_order_of_a_batch_does_not_tell_the_noise_level():
    seen = []

    class Watching(Linear):
        def forward(self, z, gamma):
            seen.append(gamma)
            return super().forward(z, gamma)

    model, generator = model_of(FINE, Watching(), draws=1), torch.Generator().manual_seed(0)
    for _ in range(400):
        model.training_loss(X, generator)
    first, second = torch.stack(seen).T  # of the images in the batch
    assert (first < second).double().mean() == pytest.approx(0.5, abs=0.1)
    apart = (first - second).abs()
    torch.testing.assert_close(apart, torch.full_like(apart, 18.3 / 2), rtol=1e-5, atol=0)


def test_two_banks_agree_within_the_noise_of_the_draws():
    banks = [model_of(FINE, Linear(), 256, noise_seed=seed) for seed in (0, 1)]
    first, second = (model.log_prob(X) for model in banks)
    assert not torch.equal(first, second)
    assert ((first - second).abs() < 4 * 2**0.5 * standard_error(banks[0], X)).all()


class OfBlack(nn.Module):
    """Estimates the noise of black images up to a part whose square is sin²(π t)."""

    def forward(self, z, gamma):
        low, high = gamma_range(BLACK)
        alpha, sigma = (torch.sigmoid(g).sqrt()[:, None, None, None] for g in (-gamma, gamma))
        noise = (z - alpha * scaled(BLACK, torch.tensor(0))) / sigma
        rest = torch.sin(math.pi * (gamma - low) / (high - low))
        return (1 - rest[:, None, None, None]) * noise


BLACK = Images(1, 8, 8, bits=2)


def test_the_known_mean_of_the_squared_noise_lessens_the_noise_of_a_bank_without_bias():
    x, (low, high) = torch.zeros(1, 1, 8, 8, dtype=torch.uint8), gamma_range(BLACK)
    found, plain = [], []
    for seed in range(200):
        model = model_of(BLACK, OfBlack(), 8, noise_seed=seed)
        found.append(-model.log_prob_terms(x)["diffusion"][0])
        plain.append(of_each_draw(model, x).mean())
    found, plain = torch.stack(found), torch.stack(plain)
    expected = 0.5 * (high - low) * 64 / 2  # D times the mean of sin²
    assert abs(found.mean() - expected) < 4 * found.std() / 200**0.5
    assert found.std() < 0.5 * plain.std()
    single = model_of(BLACK, OfBlack(), 1)  # has no other draw to tell the share
    torch.testing.assert_close(-single.log_prob_terms(x)["diffusion"], of_each_draw(single, x))


def test_the_noise_comes_from_its_seed_and_is_no_part_of_the_state():
    domain = Images(1, 4, 4)
    first, second = (diffusion(domain, width=2, draws=3, noise_seed=7) for _ in range(2))
    assert torch.equal(first.noise, second.noise)
    assert torch.equal(first.levels, second.levels)
    assert not torch.equal(first.noise, diffusion(domain, width=2, draws=3).noise)
    assert not {"noise", "levels", "excess", "reconstruction"} & set(first.state_dict())
    spaced = first.levels.diff()
    torch.testing.assert_close(spaced, torch.full_like(spaced, (5 + 13.3) / 3))


@pytest.mark.parametrize("domain", [Images(1, 28, 28), Images(3, 5, 7, bits=1), Images(1, 1, 1)])
@pytest.mark.parametrize("halvings", [0, 1, 3])
def test_any_size_is_taken(domain, halvings):
    model = diffusion(domain, width=2, halvings=halvings, heads=1, draws=2)
    assert model.log_prob(images(domain, 2)).isfinite().all()
    assert model.log_prob(images(domain, 0)).shape == (0,)


# The distribution of a pixel


@pytest.mark.parametrize("share", [1 / 6, 0.5, 2.0])
def test_the_noise_of_equally_probable_grey_levels(share):
    """Against the sum over 401 levels, of which those far away do not count."""
    width = 2 / 256
    y = torch.linspace(-2 * width, 2 * width, 41).double()
    levels = (torch.arange(-200, 201).double() + 0.5) * width
    s = share * width
    logits = -0.5 * ((y[:, None] - levels) / s) ** 2
    expected = (logits.softmax(1) * (y[:, None] - levels) / s).sum(1)
    density = logits.exp().sum(1) * width / (s * (2 * math.pi) ** 0.5)
    shape = (1, 1, 1, 41)
    found = lattice(y.reshape(shape), torch.full((1, 1, 1, 1), s).double(), width)
    torch.testing.assert_close(found[0].flatten(), density.log(), rtol=0, atol=1e-6)
    torch.testing.assert_close(found[1].flatten(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gamma", [-13.3, -8.0, -2.0, 4.0])
def test_the_noise_of_a_pixel_is_the_slope_of_the_log_density(gamma):
    """E[noise | z] = -sigma d log p(z) / dz (Tweedie), for the mixture of noisy pixels."""
    domain = Images(2, 3, 4)
    pixels, generator = PixelMixture(domain, components=2), torch.Generator().manual_seed(0)
    raw = torch.randn(2, pixels.outputs, 3, 4, generator=generator).double()
    y = scaled(domain, images(domain, 2))
    y[0, 0] = scaled(domain, torch.tensor(0))
    y[1, 1] = scaled(domain, torch.tensor(255))
    levels = torch.full((2,), gamma).double()
    alpha, sigma = torch.sigmoid(-levels[0]).sqrt(), torch.sigmoid(levels[0]).sqrt()
    noise = torch.randn(y.shape, generator=generator).double()
    z = (alpha * y + sigma * noise).requires_grad_()
    log_lattice = lattice(z / alpha, torch.full((1, 1, 1, 1), sigma / alpha).double(), 2 / 256)[0]
    total = 0.0
    for c in range(2):
        logits, means, log_sds = raw[:, 8 * c : 8 * c + 8].split((4, 2, 2), dim=1)
        weights = logits.softmax(1)
        normal = torch.distributions.Normal
        parts = [
            weights[:, k]
            * normal(alpha * scaled(domain, torch.tensor(v)), sigma).log_prob(z[:, c]).exp()
            for k, v in enumerate((0, 255))
        ]
        for k, start in enumerate((-0.5, 0.5)):
            sd = (log_sds[:, k] - math.log(2)).clamp(math.log(2 / 256), 2).exp()
            density = normal(alpha * (means[:, k] + start), (alpha**2 * sd**2 + sigma**2).sqrt())
            smooth = (density.log_prob(z[:, c]) + log_lattice[:, c]).exp()
            parts.append(weights[:, 2 + k] * smooth)
        total = total + torch.stack(parts).sum(0).log().sum()
    (slope,) = torch.autograd.grad(total, z)
    torch.testing.assert_close(pixels.noise(raw, z.detach(), levels), -sigma * slope)


def test_attention_is_the_definition():
    torch.manual_seed(0)
    layer, x = Attention(6, heads=2).double(), torch.randn(2, 6, 3, 2).double()
    query, key, value = layer.inputs(x).flatten(2).chunk(3, dim=1)  # (N, 6, P)
    found = torch.zeros(2, 6, 6).double()
    for n, head in itertools.product(range(2), range(2)):
        rows = slice(3 * head, 3 * head + 3)
        weights = (query[n, rows].T @ key[n, rows] / 3**0.5).softmax(1)  # (P, P)
        found[n, rows] = value[n, rows] @ weights.T
    torch.testing.assert_close(layer(x), x + layer.outputs(found.reshape(x.shape)))
