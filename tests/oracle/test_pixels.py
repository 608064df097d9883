"""Distributions of pixels against slow definitions, in float64."""

import math

import pytest
import torch

from oodbench import Images
from plugins.models.networks.pixels import Categorical, LogisticMixture

DOMAINS = [Images(1, 1, 1, bits=2), Images(3, 1, 1, bits=2), Images(2, 1, 1, bits=1)]


def every_image(domain):
    values = torch.arange(domain.levels, dtype=torch.uint8)
    return torch.cartesian_prod(*[values] * domain.dims).reshape(-1, *domain.shape)


def outputs_of(pixels, n, *size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, pixels.outputs, *size, generator=generator, dtype=torch.float64)


def literal_mixture(raw, x, levels, components):
    """One pixel, by Eq. 2 and 3 of PixelCNN++; raw is (outputs,), x is (C,)."""
    channels, half = len(x), 1 / (levels - 1)
    y = [2 * int(value) / (levels - 1) - 1 for value in x]
    blocks = raw.reshape(-1, components)
    logits, rest = blocks[0], blocks[1 + 2 * channels :]
    total = 0.0
    for k in range(components):
        product, left = 1.0, iter(rest)
        for c in range(channels):
            mean = blocks[1 + c][k]
            for d in range(c):
                mean = mean + torch.tanh(next(left)[k]) * y[d]
            scale = torch.exp(blocks[1 + channels + c][k].clamp(min=-7))
            upper = 1.0 if x[c] == levels - 1 else torch.sigmoid((y[c] + half - mean) / scale)
            lower = 0.0 if x[c] == 0 else torch.sigmoid((y[c] - half - mean) / scale)
            product = product * (upper - lower)
        total = total + logits.softmax(0)[k] * product
    return float(total)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_mixture_is_the_published_one(domain):
    pixels = LogisticMixture(domain, components=3)
    x = every_image(domain)
    raw = outputs_of(pixels, len(x), 1, 1)
    expected = [
        math.log(literal_mixture(one[:, 0, 0], image[:, 0, 0], domain.levels, 3))
        for one, image in zip(raw, x, strict=True)
    ]
    torch.testing.assert_close(
        pixels.log_prob(raw, x), torch.tensor(expected).double(), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("make", [lambda d: LogisticMixture(d, components=3), Categorical])
def test_probabilities_of_a_pixel_sum_to_one(domain, make):
    pixels, x = make(domain), every_image(domain)
    for seed in range(3):
        raw = 3 * outputs_of(pixels, 1, 1, 1, seed=seed)
        total = pixels.log_prob(raw.expand(len(x), -1, -1, -1), x).exp().sum()
        assert total.item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("make", [lambda d: LogisticMixture(d, components=3), Categorical])
def test_samples_have_the_probabilities(domain, make):
    pixels, x, draws = make(domain), every_image(domain), 20_000
    raw = outputs_of(pixels, 1, 1, 1)
    expected = pixels.log_prob(raw.expand(len(x), -1, -1, -1), x).exp()
    generator = torch.Generator().manual_seed(1)
    drawn = pixels.sample(raw.expand(draws, -1, -1, -1), generator, 1.0)
    counts = (drawn.unsqueeze(1) == x).flatten(2).all(2).double().mean(0)
    assert counts.sum().item() == pytest.approx(1)
    assert ((counts - expected).abs() < 5 * (expected / draws).sqrt() + 1e-12).all()


def test_pixels_and_examples_are_independent():
    domain = Images(2, 2, 3)
    pixels = LogisticMixture(domain, components=4)
    raw = outputs_of(pixels, 3, 2, 3)
    x = torch.randint(0, 256, (3, *domain.shape), generator=torch.Generator().manual_seed(0))
    single = sum(
        pixels.log_prob(raw[:, :, i : i + 1, j : j + 1], x[:, :, i : i + 1, j : j + 1])
        for i in range(2)
        for j in range(3)
    )
    torch.testing.assert_close(pixels.log_prob(raw, x), single)


@pytest.mark.parametrize("extreme", [-50.0, 50.0])
def test_far_tails_and_extreme_scales_stay_finite_in_single_precision(extreme):
    pixels = LogisticMixture(Images(1, 1, 1), components=2)
    x = torch.tensor([0, 1, 128, 255]).reshape(-1, 1, 1, 1)
    for block in (2, 4):  # the means, the log-scales
        raw = torch.zeros(4, pixels.outputs, 1, 1)
        raw[:, block : block + 2] = extreme
        raw.requires_grad_()
        values = pixels.log_prob(raw, x)
        values.sum().backward()
        assert values.isfinite().all()
        assert raw.grad.isfinite().all()
