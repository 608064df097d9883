"""Dequantised log-probabilities against quadrature, enumeration and the hash of the examples."""

from __future__ import annotations

import hashlib
import itertools
import math

import numpy as np
import pytest
import torch

from harness.testing.toy_models import TinyAutoregression
from oodbench import Images, dequantised_log_prob, fixed_noise
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.statistics.dequantised_log_prob import DequantisedLogProb
from plugins.statistics.log_prob import LogProb

FOUR_PIXELS = Images(1, 2, 2, bits=2)
ONE_IMAGE = torch.tensor([0, 3, 1, 0], dtype=torch.uint8).reshape(1, 1, 2, 2)


def every_image(domain):
    pixels = itertools.product(range(domain.levels), repeat=domain.dims)
    return torch.tensor(list(pixels), dtype=torch.uint8).reshape(-1, *domain.shape)


def small_glow():
    return glow(FOUR_PIXELS, levels=1, steps=2, width=4)


def small_linear():
    return glow_linear(FOUR_PIXELS, steps=2, width=4, hidden_layers=1)


@pytest.fixture(scope="module", params=[small_glow, small_linear], ids=["glow", "glow-linear"])
def trained(request):
    """A flow after training on a single image, in float64."""
    torch.manual_seed(0)
    model, noise = request.param(), torch.Generator().manual_seed(0)
    x = ONE_IMAGE.expand(64, -1, -1, -1)
    model.prepare(x)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(200):
        optimizer.zero_grad()
        model.training_loss(x, noise).backward()
        optimizer.step()
    return model.double().eval()


def expectation(model, x, nodes):
    """E_u log p(x + u) by a Gauss-Legendre rule with `nodes` points per pixel, float64 (N,)."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    u = torch.tensor(list(itertools.product((points + 1) / 2, repeat=4))).reshape(-1, 1, 2, 2)
    weight = torch.tensor(list(itertools.product(weights / 2, repeat=4))).prod(1)
    total = torch.zeros(len(x), dtype=torch.float64)
    with torch.no_grad():
        for part, w in zip(u.split(64), weight.split(64), strict=True):
            y = x.double()[:, None] + part  # (N, 64, 1, 2, 2)
            total += model.log_density(y.flatten(0, 1)).reshape(len(x), -1) @ w
    return total


@pytest.fixture(scope="module")
def expected(trained):
    """The fine quadrature for all images, after a look at its error."""
    every = every_image(FOUR_PIXELS)
    fine, coarse = expectation(trained, every, 8), expectation(trained, every, 6)
    assert (fine - coarse).abs().max() < 0.01
    return fine


def test_the_density_in_the_middle_of_the_bin_is_no_probability(trained, expected):
    """What was shown as bits per dimension; the dequantised values are a lower bound."""
    with torch.no_grad():
        middle = trained.log_prob(every_image(FOUR_PIXELS))
    assert middle.exp().sum() > 1.05
    assert expected.exp().sum() <= 1 + 1e-6


def test_the_mean_over_noise_is_the_expectation(trained, expected):
    """A wrong shift or scale moves the mean of one image by many standard errors."""
    place = (every_image(FOUR_PIXELS) == ONE_IMAGE).flatten(1).all(1).nonzero().item()
    u = torch.rand(20_000, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        values = trained.log_density(ONE_IMAGE.double() + u)
    error = float(values.std()) / math.sqrt(len(values))
    assert float(values.mean()) == pytest.approx(float(expected[place]), abs=4 * error)


def test_the_statistic_estimates_the_expectation_for_every_image(trained, expected):
    """Over all images the fixed noise has no bias: no shift, no scale, no common draw."""
    found = DequantisedLogProb()(trained, every_image(FOUR_PIXELS)[:, None])[:, 0]
    off = found - expected.numpy()
    assert abs(off.mean()) < 4 * off.std() / math.sqrt(len(off))
    assert off.std() > 0


def test_training_has_the_density_that_is_evaluated(trained):
    loss = trained.training_loss(ONE_IMAGE, torch.Generator().manual_seed(5))
    u = torch.rand(ONE_IMAGE.shape, generator=torch.Generator().manual_seed(5))
    density = trained.log_density(ONE_IMAGE.double() + u.double())
    torch.testing.assert_close(-loss, density.squeeze(), rtol=1e-12, atol=1e-12)


class Slope(torch.nn.Module):
    """A density that shows where it is evaluated: log p(y) is the sum of y."""

    likelihood = "exact"

    def __init__(self, domain=FOUR_PIXELS):
        super().__init__()
        self.domain = domain
        self.weight = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def log_density(self, y):
        return self.weight * y.flatten(1).sum(1)

    def log_prob(self, x):
        return self.log_density(x + 0.5)


def test_the_density_is_evaluated_at_x_plus_u():
    x = every_image(FOUR_PIXELS)
    expected = (x.numpy() + fixed_noise(x.numpy())).reshape(len(x), -1).sum(1)
    found = DequantisedLogProb()(Slope(), x[:, None])
    assert found.dtype == np.float64
    assert np.allclose(found[:, 0], expected, rtol=1e-12)
    single = DequantisedLogProb()(Slope().float(), x[:, None])
    assert np.allclose(single[:, 0], expected, rtol=1e-6)


def test_noise_is_the_output_of_shake_256():
    example = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)
    stream = hashlib.shake_256(bytes(range(12))).digest(48)
    words = [int.from_bytes(stream[place : place + 4], "little") for place in range(0, 48, 4)]
    found = fixed_noise(example)
    assert found.shape == example.shape
    assert found.ravel().tolist() == [word / 2**32 for word in words]


def test_noise_depends_on_the_example_alone():
    x = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4)).astype(np.uint8)
    noise = fixed_noise(x)
    order = np.random.default_rng(1).permutation(40)
    assert np.array_equal(fixed_noise(x[order]), noise[order])
    assert np.array_equal(fixed_noise(x[7:8]), noise[7:8])
    assert np.array_equal(fixed_noise(np.asfortranarray(x)), noise)
    assert np.array_equal(fixed_noise(x[::2]), noise[::2])
    assert len(np.unique(noise)) == noise.size


def test_noise_is_uniform_and_independent():
    x = np.zeros((4096, 1, 2, 2), np.uint8)
    x[:, 0, 0, 0], x[:, 0, 0, 1] = np.arange(4096) % 256, np.arange(4096) // 256
    noise = fixed_noise(x).reshape(4096, 4)
    counts = np.histogram(noise, bins=16, range=(0, 1))[0]
    assert ((counts - 1024) ** 2 / 1024).sum() < 37.7  # chi-square, 15 degrees: p = 0.001
    correlations = np.corrcoef(np.hstack([noise[:-1], noise[1:]]).T)
    assert np.abs(correlations - np.eye(8)).max() < 4.5 / math.sqrt(4095)


def test_a_discrete_model_has_its_log_prob():
    model, x = TinyAutoregression(FOUR_PIXELS), every_image(FOUR_PIXELS)[:, None]
    assert np.array_equal(DequantisedLogProb()(model, x), LogProb()(model, x))


def test_no_number_depends_on_the_batch_or_on_the_seed_of_torch(trained):
    x = every_image(FOUR_PIXELS)
    torch.manual_seed(1)
    whole = dequantised_log_prob(trained, x)
    torch.manual_seed(2)
    parts = torch.cat([dequantised_log_prob(trained, part) for part in x.split(37)])
    torch.testing.assert_close(parts, whole, rtol=1e-10, atol=1e-10)
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(2)))
