"""The VAE's bounds against a model with a known marginal, in float64."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from oodbench import Images
from plugins.models.networks.vae import VAE
from plugins.models.vae import vae

DOMAIN, LATENTS, SD = Images(1, 2, 3), 2, 0.3


class GaussianPixels:
    """p(x | z) = N(x in [-1, 1]; raw, SD^2), a density in place of a probability."""

    outputs = DOMAIN.dims

    def log_prob(self, raw, x):
        square = ((2 * x.double() / 255 - 1).flatten(1) - raw) ** 2 / SD**2
        return -0.5 * (square + math.log(2 * math.pi * SD**2)).sum(1)


def linear_vae(draws, bound="elbo", noise_seed=0, log_sd=-0.7):
    """A linear decoder and encoder: log p(x) is known, and so is the ELBO."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(DOMAIN.dims, 2 * LATENTS))
    with torch.no_grad():
        encoder[1].weight[LATENTS:] = 0
        encoder[1].bias[LATENTS:] = log_sd
    return VAE(
        DOMAIN,
        encoder=encoder,
        decoder=nn.Linear(LATENTS, DOMAIN.dims),
        pixels=GaussianPixels(),
        latents=LATENTS,
        draws=draws,
        noise_seed=noise_seed,
        bound=bound,
    ).double()


def images(domain, n):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, domain.levels, (n, *domain.shape), generator=generator).byte()


X = images(DOMAIN, 6)
Y = (2 * X.double() / 255 - 1).flatten(1)


def true_log_prob(model):
    weight, bias = model.decoder.weight, model.decoder.bias
    covariance = weight @ weight.T + SD**2 * torch.eye(DOMAIN.dims).double()
    return MultivariateNormal(bias, covariance).log_prob(Y)


def true_elbo(model):
    """E_q log p(x | z) - KL(q || p), both in closed form for a linear decoder."""
    mean, log_sd = model.encoder(Y.reshape(-1, *DOMAIN.shape)).chunk(2, dim=1)
    variance = (2 * log_sd).exp()
    weight, bias = model.decoder.weight, model.decoder.bias
    square = (Y - mean @ weight.T - bias).square().sum(1) + (variance @ weight.T.square()).sum(1)
    expected = -0.5 * (square / SD**2 + DOMAIN.dims * math.log(2 * math.pi * SD**2))
    divergence = 0.5 * (variance + mean.square() - 1 - variance.log()).sum(1)
    return expected - divergence


def test_the_elbo_is_the_known_one_and_below_the_log_probability():
    model = linear_vae(draws=40_000)
    elbo = model.log_prob(X)
    torch.testing.assert_close(elbo, true_elbo(model), rtol=0, atol=0.15)
    assert (elbo < true_log_prob(model) - 0.5).all()


def test_the_importance_weighted_bound_rises_to_the_log_probability():
    """Means over parts of one bank: by Jensen's inequality they rise with the size of a part."""
    model = linear_vae(512, "iwae")
    bank, means = model.noise, [true_elbo(model)]
    for draws in (4, 32, 512):
        parts = []
        for model.noise in bank.split(draws):
            parts.append(model.log_prob(X))
        means.append(torch.stack(parts).mean(0))
    for less, more in pairwise(means):
        assert (less < more).all()
    truth = true_log_prob(model)
    assert (means[0] < truth - 0.5).all()
    torch.testing.assert_close(means[-1], truth, rtol=0, atol=0.3)
    model.noise = torch.randn(40_000, LATENTS, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(model.log_prob(X), truth, rtol=0, atol=0.05)


def test_fresh_draws_estimate_the_log_probability():
    model = linear_vae(1)
    found = model.estimate_log_prob(X, 40_000, torch.Generator().manual_seed(5))
    torch.testing.assert_close(found, true_log_prob(model), rtol=0, atol=0.05)


def test_the_bound_is_exact_if_the_encoder_is_the_posterior():
    """A single latent: the posterior is normal with a known mean and deviation."""
    model = linear_vae(3, "iwae")
    weight = torch.zeros(DOMAIN.dims, LATENTS).double()
    weight[:, 0] = torch.linspace(-1, 1, DOMAIN.dims)
    precision = 1 + weight[:, 0].square().sum() / SD**2
    with torch.no_grad():
        model.decoder.weight.copy_(weight)
        linear = model.encoder[1]
        linear.weight.zero_()
        linear.bias.zero_()  # q of the second latent is the prior
        linear.weight[0] = weight[:, 0] / SD**2 / precision
        linear.bias[0] = -(weight[:, 0] / SD**2 / precision) @ model.decoder.bias
        linear.bias[LATENTS] = -0.5 * precision.log()
    torch.testing.assert_close(model.log_prob(X), true_log_prob(model), rtol=1e-10, atol=0)


def test_training_minimises_the_elbo():
    model, generator = linear_vae(1), torch.Generator().manual_seed(0)
    losses = [model.training_loss(X.repeat(50, 1, 1, 1), generator).item() for _ in range(40)]
    assert sum(losses) / 40 == pytest.approx(-true_elbo(model).mean().item(), abs=0.05)


@pytest.mark.parametrize("bound", ["elbo", "iwae"])
def test_log_prob_is_the_definition_draw_by_draw(bound):
    """One example and one draw at a time, with torch's distributions."""
    domain = Images(3, 5, 3, bits=5)
    torch.manual_seed(0)
    options = {"latents": 3, "width": 2, "components": 2, "draws": 4, "bound": bound}
    model = vae(domain, **options).double()
    x = images(domain, 3)
    rows = []
    for example in x:
        y = 2 * example[None].double() / (domain.levels - 1) - 1
        mean, log_sd = model.encoder(y).chunk(2, dim=1)
        q = torch.distributions.Normal(mean[0], log_sd[0].exp())
        prior = torch.distributions.Normal(torch.zeros(3).double(), 1)
        terms, weights = [], []
        for noise in model.noise:
            z = mean[0] + log_sd[0].exp() * noise
            likelihood = model._pixels.log_prob(model.decoder(z[None]), example[None])[0]
            terms.append(likelihood)
            weights.append(likelihood + (prior.log_prob(z) - q.log_prob(z)).sum())
        kl = torch.distributions.kl_divergence(q, prior).sum()
        elbo = torch.stack(terms).mean() - kl
        rows.append(elbo if bound == "elbo" else torch.stack(weights).exp().mean().log())
    torch.testing.assert_close(model.log_prob(x), torch.stack(rows), rtol=1e-10, atol=1e-10)


def test_two_banks_agree_within_the_noise_of_the_draws():
    """The standard error of a mean over S draws, from the spread of single draws."""
    draws = 64
    banks = [linear_vae(draws, noise_seed=seed) for seed in (0, 1)]
    singles = torch.stack([linear_vae(1, noise_seed=seed).log_prob(X) for seed in range(2, 102)])
    error = singles.std(0) * (2 / draws) ** 0.5
    first, second = (model.log_prob(X) for model in banks)
    assert not torch.equal(first, second)
    assert ((first - second).abs() < 4 * error).all()


def test_the_noise_comes_from_its_seed_and_is_no_part_of_the_state():
    domain = Images(1, 4, 4)
    torch.manual_seed(0)
    first = vae(domain, draws=3, noise_seed=7)
    torch.manual_seed(1)
    second = vae(domain, draws=3, noise_seed=7)
    assert torch.equal(first.noise, second.noise)
    assert not torch.equal(first.noise, vae(domain, draws=3).noise)
    assert "noise" not in first.state_dict()


@pytest.mark.parametrize("domain", [Images(1, 28, 28), Images(3, 5, 7), Images(1, 1, 1)])
@pytest.mark.parametrize("halvings", [0, 1, 3])
def test_any_size_is_taken(domain, halvings):
    model = vae(domain, width=2, halvings=halvings, latents=2, components=2, draws=2)
    assert model.log_prob(images(domain, 2)).isfinite().all()
    assert model.sample(2, torch.Generator()).shape == (2, *domain.shape)
    assert model.log_prob(images(domain, 0)).shape == (0,)
