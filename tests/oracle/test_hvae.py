"""The hierarchical VAE's bounds against a linear hierarchy with a known marginal, in float64."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal

from oodbench import Images
from plugins.models.hvae import hvae
from plugins.models.networks.hvae import HVAE, Networks
from plugins.scorers.hierarchical_ratio import HierarchicalRatio
from plugins.statistics.log_prob_terms import LogProbTerms
from tests.oracle.test_vae import SD, GaussianPixels, images

DOMAIN, LOWER, UPPER, FEATURES = Images(1, 2, 3), 2, 1, 2


def linear_hvae(draws, noise_seed=0, log_sds=(-0.7, -0.4), **options):
    """Two layers of latents, and linear networks without deviations that depend on x."""
    torch.manual_seed(0)
    first = nn.Sequential(nn.Flatten(), nn.Linear(DOMAIN.dims, FEATURES))
    joined = FEATURES + LOWER
    networks = Networks(
        up=[first, nn.Linear(joined, FEATURES)],
        posterior=[normal(FEATURES, LOWER, log_sds[0]), normal(FEATURES, UPPER, log_sds[1])],
        down=[nn.Linear(joined, FEATURES), nn.Linear(UPPER, FEATURES)],
        prior=[normal(FEATURES, LOWER, -0.3)],
        last=nn.Linear(FEATURES, DOMAIN.dims),
    )
    options = {"free_nats": 0.0, "warmup_steps": 0} | options
    return HVAE(
        DOMAIN,
        networks=networks,
        shapes=[(LOWER,), (UPPER,)],
        pixels=GaussianPixels(),
        draws=draws,
        noise_seed=noise_seed,
        **options,
    ).double()


def normal(inputs, outputs, log_sd):
    layer = nn.Linear(inputs, 2 * outputs)
    with torch.no_grad():
        layer.weight[outputs:] = 0
        layer.bias[outputs:] = log_sd
    return layer


X = images(DOMAIN, 6)
Y = (2 * X.double() / 255 - 1).flatten(1)


def affine(function, *sizes):
    """Return the matrices and the constant of an affine function of several vectors."""
    zeros = [torch.zeros(1, size).double() for size in sizes]
    constant = function(*zeros)[0]
    matrices = []
    for place, size in enumerate(sizes):
        columns = []
        for unit in torch.eye(size).double():
            inputs = [*zeros[:place], unit[None], *zeros[place + 1 :]]
            columns.append(function(*inputs)[0] - constant)
        matrices.append(torch.stack(columns, 1))
    return *matrices, constant


class Known:
    """The Gaussians of a linear model: p(x, z_1, z_2), and q's mean and covariance for each x."""

    def __init__(self, model):
        low, up = model.posterior[0].bias[LOWER:].exp(), model.posterior[1].bias[UPPER:].exp()
        self.prior_sd = model.prior[0].bias[LOWER:].exp()
        eye = torch.eye(LOWER + UPPER + DOMAIN.dims).double()
        # p: z_2 = e_2, z_1 = W z_2 + c + sd e_1, x = A z_1 + B z_2 + d + SD e_x
        w, c = affine(lambda z2: model.prior[0](model.down[1](z2))[:, :LOWER], UPPER)

        def decoded(z1, z2):
            return model.last(model.down[0](torch.cat((model.down[1](z2), z1), 1)))

        a, b, d = affine(decoded, LOWER, UPPER)
        e1, e2, ex = eye[:LOWER], eye[LOWER : LOWER + UPPER], eye[LOWER + UPPER :]
        z2, z1 = e2, w @ e2 + self.prior_sd[:, None] * e1
        x = a @ z1 + b @ z2 + SD * ex
        self.maps = torch.cat((z1, z2, x))
        self.w, self.c = w, c
        self.mean = torch.cat((c, torch.zeros(UPPER).double(), a @ c + d))
        self.joint = MultivariateNormal(self.mean, self.maps @ self.maps.T)
        self.marginal = MultivariateNormal(self.mean[LOWER + UPPER :], x @ x.T)

        # q: z_1 = m_1(x) + sd e_1, z_2 = m_2(x, z_1) + sd e_2
        def upper(y, z1):
            features = model.up[0](y.reshape(-1, *DOMAIN.shape))
            return model.posterior[1](model.up[1](torch.cat((features, z1), 1)))[:, :UPPER]

        m1 = model.posterior[0](model.up[0](Y.reshape(-1, *DOMAIN.shape)))[:, :LOWER]
        _, by_z1, _ = affine(upper, DOMAIN.dims, LOWER)
        self.q_mean = torch.cat((m1, upper(Y, m1)), 1)
        maps = torch.zeros(LOWER + UPPER, LOWER + UPPER).double()
        maps[:LOWER, :LOWER] = torch.diag(low)
        maps[LOWER:, :LOWER] = by_z1 @ torch.diag(low)
        maps[LOWER:, LOWER:] = torch.diag(up)
        self.q_covariance = maps @ maps.T
        self.entropies = [entropy(low), entropy(up)]

    def expected_joint(self, mean, covariance):
        """E log p(x, z), for z with means (N, Z) and a covariance."""
        at_mean = self.joint.log_prob(torch.cat((mean, Y), 1))
        precision = self.joint.precision_matrix[: LOWER + UPPER, : LOWER + UPPER]
        return at_mean - 0.5 * (precision * covariance).sum()

    def elbo(self):
        return self.expected_joint(self.q_mean, self.q_covariance) + sum(self.entropies)

    def upper_bound(self):
        """L>1: z_2 from q, z_1 from p(z_1 | z_2), and no ratio of densities for z_1."""
        m2, v2 = self.q_mean[:, LOWER:], self.q_covariance[LOWER:, LOWER:]
        mean = torch.cat((m2 @ self.w.T + self.c, m2), 1)
        both = torch.cat((self.w, torch.eye(UPPER).double()))
        covariance = both @ v2 @ both.T
        covariance[:LOWER, :LOWER] += torch.diag(self.prior_sd.square())
        without_z1 = self.expected_joint(mean, covariance) + entropy(self.prior_sd)
        return without_z1 + self.entropies[1]


def entropy(sd):
    return (0.5 * math.log(2 * math.pi * math.e) + sd.log()).sum()


def bound_above(model, k):
    terms = model.log_prob_terms(X)
    chosen = [value for name, value in terms.items() if int(name.split(".")[1]) >= k]
    return torch.stack(chosen).sum(0)


@torch.no_grad()
def test_the_bounds_are_the_known_ones_and_below_the_log_probability():
    model = linear_hvae(draws=40_000)
    known = Known(model)
    for found, expected in (
        (model.log_prob(X), known.elbo()),
        (bound_above(model, 0), known.elbo()),
        (bound_above(model, 1), known.upper_bound()),
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=0.15)
        assert (found < known.marginal.log_prob(Y) - 0.5).all()
    assert (known.upper_bound() - known.elbo()).abs().min() > 1


@torch.no_grad()
def test_the_importance_weighted_bound_rises_to_the_log_probability():
    model = linear_hvae(1, log_sds=(0.2, 0.2))  # wide enough for the posterior
    known = Known(model)
    truth, means = known.marginal.log_prob(Y), [known.elbo()]
    for draws, times in ((4, 500), (64, 60), (20_000, 1)):
        generator = torch.Generator().manual_seed(0)
        found = [model.estimate_log_prob(X, draws, generator) for _ in range(times)]
        means.append(torch.stack(found).mean(0))
    for less, more in pairwise(means):
        assert (less < more).all()
    torch.testing.assert_close(means[-1], truth, rtol=0, atol=0.1)


@torch.no_grad()
def test_two_banks_agree_within_the_noise_of_the_draws():
    """The standard error of a mean over S draws, from the spread of single draws."""
    draws = 64
    singles = [linear_hvae(1, noise_seed=seed) for seed in range(2, 102)]
    first, second = (linear_hvae(draws, noise_seed=seed) for seed in (0, 1))
    for k in (0, 1):
        spread = torch.stack([bound_above(model, k) for model in singles]).std(0)
        difference = bound_above(first, k) - bound_above(second, k)
        assert (difference.abs() > 0).all()
        assert (difference.abs() < 4 * spread * (2 / draws) ** 0.5).all()


def test_training_minimises_the_elbo():
    model, generator = linear_hvae(1), torch.Generator().manual_seed(0)
    losses = [model.training_loss(X.repeat(50, 1, 1, 1), generator).item() for _ in range(40)]
    assert sum(losses) / 40 == pytest.approx(-Known(model).elbo().mean().item(), abs=0.1)


def test_free_nats_and_warm_up():
    """beta = 1/4, 2/4, 3/4, 1, 1, counted in training mode only, and part of the state."""

    def loss(model):
        return model.training_loss(X, torch.Generator().manual_seed(0)).item()

    plain, free = linear_hvae(1), linear_hvae(1, free_nats=1e6)
    likelihood = 2e6 - loss(free)  # both divergences are below their free nats
    divergence = loss(plain) + likelihood
    model = linear_hvae(1, warmup_steps=4).eval()
    assert loss(model) == pytest.approx(divergence / 4 - likelihood)
    found = [loss(model.train()) for _ in range(2)]
    later = linear_hvae(1, warmup_steps=4)
    later.load_state_dict(model.state_dict())
    found += [loss(later) for _ in range(3)]
    expected = [beta * divergence - likelihood for beta in (0.25, 0.5, 0.75, 1, 1)]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("layers", [2, 3])
@torch.no_grad()
def test_the_terms_are_the_definition_draw_by_draw(layers):
    """One example and one draw at a time, with torch's distributions, for every k."""
    domain = Images(3, 5, 3, bits=5)
    torch.manual_seed(0)
    options = {"latents": 2, "width": 3, "components": 2, "draws": 3, "layers": layers}
    model = hvae(domain, **options).double()
    x = images(domain, 3)
    terms = model.log_prob_terms(x)

    def split(raw):
        mean, log_sd = raw.chunk(2, dim=1)
        return Normal(mean, log_sd.clamp(-7, 3).exp())

    for k in range(layers):
        rows = []
        for example in x:
            values = []
            for s in range(3):
                joined = 2 * example[None].double() / (domain.levels - 1) - 1
                z, log_q = [], []
                for i in range(layers):
                    features = model.up[i](joined)
                    q = split(model.posterior[i](features))
                    z.append(q.mean + q.stddev * model.get_buffer(f"noise_{i}")[s])
                    log_q.append(q.log_prob(z[i]).sum())
                    joined = torch.cat((features, z[i]), 1)
                value, features = 0, None
                for i in reversed(range(layers)):
                    p = Normal(torch.zeros_like(z[i]), 1)
                    if features is not None:
                        p = split(model.prior[i](features))
                    if i >= k:
                        value += p.log_prob(z[i]).sum() - log_q[i]
                    else:
                        z[i] = p.mean + p.stddev * model.get_buffer(f"prior_noise_{i}")[s]
                    below = [z[i]] if features is None else [features, z[i]]
                    features = model.down[i](torch.cat(below, 1))
                raw = model.last(features)
                values.append(value + model._pixels.log_prob(raw, example[None])[0])
            rows.append(torch.stack(values).mean())
        chosen = [value for name, value in terms.items() if int(name[-1]) >= k]
        found = torch.stack(chosen).sum(0)
        torch.testing.assert_close(found, torch.stack(rows), rtol=1e-10, atol=1e-10)
        if k == 0:
            torch.testing.assert_close(model.log_prob(x), found, rtol=1e-10, atol=1e-10)


def test_hierarchical_ratio_is_the_difference_of_the_bounds():
    model, statistic = linear_hvae(5), LogProbTerms()
    values = {"log_prob_terms": statistic(model, X.unsqueeze(1)).reshape(3, 2, -1)}
    scorer = HierarchicalRatio(from_level=1)
    scorer.name_features({"log_prob_terms": statistic.features(model)})
    ratio = bound_above(model, 0) - bound_above(model, 1)
    expected = ratio.detach().reshape(3, 2).mean(1).tolist()
    assert scorer.fit(values).score(values).tolist() == pytest.approx(expected, rel=1e-12)


def test_the_noise_comes_from_its_seed_and_is_no_part_of_the_state():
    domain = Images(1, 4, 4)
    same, other = (hvae(domain, draws=3, noise_seed=seed) for seed in (7, 8))
    again = hvae(domain, draws=3, noise_seed=7)
    names = [name for name, _ in same.named_buffers() if name != "steps"]
    assert len(names) == 6
    for name in names:
        assert torch.equal(same.get_buffer(name), again.get_buffer(name))
        assert not torch.equal(same.get_buffer(name), other.get_buffer(name))
        assert name not in same.state_dict()
    assert not torch.equal(same.noise_0, same.prior_noise_0)


@pytest.mark.parametrize("domain", [Images(1, 28, 28), Images(3, 5, 7), Images(1, 1, 1)])
@pytest.mark.parametrize("layers", [2, 4])
def test_any_size_is_taken(domain, layers):
    model = hvae(domain, width=2, layers=layers, latents=2, components=2, draws=2)
    assert model.log_prob(images(domain, 2)).isfinite().all()
    assert model.sample(2, torch.Generator()).shape == (2, *domain.shape)
    assert model.log_prob(images(domain, 0)).shape == (0,)
    assert all(term.shape == (0,) for term in model.log_prob_terms(images(domain, 0)).values())
