"""The density of flow matching against exact Jacobians and a known density, in float64."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal

from oodbench import Images
from plugins.models.flow_matching import flow_matching
from plugins.models.networks.flow_matching import FlowMatching, UNetVelocity
from plugins.models.networks.pixel_mixture import PixelMixture
from plugins.statistics.layer_gradients.engine import LayerGradientEngine
from plugins.statistics.layer_gradients.reference import looped_layer_gradients

DOMAIN = Images(1, 1, 3)
MEAN = torch.tensor([-0.1, 0.0, 0.1]).double()
FACTOR = torch.tensor([[0.3, 0, 0], [0.15, 0.2, 0], [-0.1, 0.2, 0.25]]).double()
COVARIANCE = FACTOR @ FACTOR.T
LEVELS = torch.tensor([[100.5, 120.0, 90.2], [130.9, 128.0, 20.0]]).double().reshape(-1, 1, 1, 3)


def images(domain, n):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, domain.levels, (n, *domain.shape), generator=generator).byte()


class Linear(nn.Module):
    """The velocity that carries noise to Gaussian images."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()).double())

    def forward(self, x, t):
        t = t[:, None, None]
        spread = t**2 * COVARIANCE + (1 - t) ** 2 * torch.eye(3).double()
        gain = (t * COVARIANCE - (1 - t) * torch.eye(3).double()) @ torch.linalg.inv(spread)
        moved = gain @ (x.flatten(1) - t[:, 0] * MEAN).unsqueeze(2)
        return (self.factor * (MEAN + moved.squeeze(2))).reshape(x.shape)

    def along(self, x, t, directions):
        velocity = self(x, t)
        moved = [self(x + e, t) - velocity for e in directions.unbind(1)]
        return velocity, torch.stack(moved, 1)


def linear(steps, probes=3, noise_seed=0):
    options = {"steps": steps, "probes": probes, "noise_seed": noise_seed}
    return FlowMatching(DOMAIN, velocity=Linear(), **options).double()


def truth():
    density = MultivariateNormal(MEAN, COVARIANCE)
    return density.log_prob((LEVELS / 128 - 1).flatten(1)) - 3 * math.log(128)


def test_the_density_of_gaussian_images_is_known_and_more_steps_come_nearer():
    """Second order: twice as many steps leave a quarter of the error, or less before the limit."""
    found = [linear(steps).log_density(LEVELS) for steps in (40, 80, 160)]
    errors = [(values - truth()).abs() for values in found]
    assert errors[-1].max() < 1e-4
    for more, less in pairwise(errors):
        assert (less < more / 3).all()


def small(**options):
    torch.manual_seed(0)
    domain = Images(2, 2, 1, bits=3)
    model = flow_matching(domain, width=4, halvings=1, heads=2, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape).double())
    return model, domain


def test_the_change_of_volume_is_the_determinant_of_the_map():
    """The determinant of the solver's own map, by autograd: equal in the limit of many steps."""
    model, domain = small(steps=40, probes=4)
    for y in images(domain, 1).double() / 8 - 0.45:
        jacobian = torch.autograd.functional.jacobian(
            lambda y: model.transform(y[None])[0][0], y
        ).reshape(4, 4)
        z, base, ladj = model.transform(y[None])
        torch.testing.assert_close(ladj[0], torch.linalg.slogdet(jacobian)[1], rtol=0, atol=0.03)
        torch.testing.assert_close(base[0], Normal(0.0, 1.0).log_prob(z[0]).sum())


@pytest.mark.parametrize("t", [0.999, 0.5, 0.01])
def test_the_trace_is_that_of_the_jacobian(t):
    exact, domain = small(probes=4)
    x = torch.randn(3, *domain.shape, generator=torch.Generator().manual_seed(1)).double()
    times = torch.full((3,), t).double()
    velocity, trace = exact._with_trace(x, times)
    torch.testing.assert_close(velocity, exact.velocity(x, times))
    jacobians = [
        torch.autograd.functional.jacobian(
            lambda e: exact.velocity(e[None], times[:1])[0], e
        ).reshape(4, 4)
        for e in x
    ]
    expected = torch.stack([jacobian.trace() for jacobian in jacobians])
    torch.testing.assert_close(trace, expected, rtol=1e-9, atol=1e-9)
    probed, _ = small(probes=3)
    quadratic = [[(e @ j @ e) for e in probed.probes.flatten(1)] for j in jacobians]
    means = torch.tensor(quadratic).double().mean(1)
    torch.testing.assert_close(probed._with_trace(x, times)[1], means, rtol=1e-6, atol=1e-6)
    assert set(probed.probes.unique().tolist()) == {-1.0, 1.0}


def test_the_inverse_leads_back():
    model, _ = small(steps=40, probes=1)
    z = model.draw_noise(4, torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(model.transform(model.inverse(z))[0], z, rtol=0, atol=0.05)


def test_samples_have_the_distribution_of_the_images():
    model, n = linear(50), 4000
    x = model.sample(n, torch.Generator().manual_seed(0)).double()
    y = ((x + 0.5) / 128 - 1).flatten(1)
    error = (COVARIANCE.diagonal() / n).sqrt()
    assert ((y.mean(0) - MEAN).abs() < 4 * error).all()
    torch.testing.assert_close(y.T.cov(), COVARIANCE, rtol=0, atol=0.01)


def test_the_loss_is_the_squared_distance_from_the_velocity_of_the_path():
    model, x, seed = linear(1), images(DOMAIN, 5), 3
    generator = torch.Generator().manual_seed(seed)
    y = (x + torch.rand(x.shape, generator=generator)) / 128 - 1
    noise = torch.randn(x.shape, generator=generator)
    u = (torch.randperm(5, generator=generator) + torch.rand((), generator=generator)) / 5
    t = 1 - (512 ** u.double() - 1) / 511
    at = t.reshape(-1, 1, 1, 1) * y + (1 - t).reshape(-1, 1, 1, 1) * noise
    expected = (model.velocity(at, t) - (y - noise)).square().sum() / 5
    found = model.training_loss(x, torch.Generator().manual_seed(seed))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_the_loss_is_least_for_the_velocity_of_the_data():
    """The gradient of the mean loss in a factor on the best velocity is zero."""
    model = linear(1)
    y = MultivariateNormal(MEAN, COVARIANCE).sample((4000,)).reshape(-1, 1, 1, 3)
    x = ((y + 1) * 128).floor().clamp(0, 255).byte()
    gradients, generator = [], torch.Generator().manual_seed(0)
    for batch in x.split(100):
        loss = model.training_loss(batch, generator)
        gradients.append(torch.autograd.grad(loss, model.velocity.factor)[0])
    gradients = torch.stack(gradients)
    assert gradients.mean().abs() < 4 * gradients.std() / len(gradients) ** 0.5
    assert gradients.std() / len(gradients) ** 0.5 < 0.05 * model.training_loss(x, generator)


@pytest.mark.parametrize("t", [0.99, 0.6, 0.05])
def test_the_velocity_of_a_pixel_is_the_posterior_mean(t):
    """Against integration over the pixel before noise was added."""
    domain = Images(1, 1, 2, bits=4)
    pixels, generator = PixelMixture(domain, components=2), torch.Generator().manual_seed(0)
    raw = torch.randn(1, pixels.outputs, 1, 2, generator=generator).double()
    x = torch.tensor([-0.9 * t, 0.4]).double().reshape(1, 1, 1, 2)
    found = pixels.velocity(raw, x, torch.full((1,), t).double()).flatten()
    grid = torch.linspace(-12, 12, 200_001).double()
    for k in range(2):
        logits, means, log_sds = raw[0, :, 0, k].split((4, 2, 2))
        means = torch.cat((torch.tensor([-15 / 16, 15 / 16]), means + torch.tensor([-0.5, 0.5])))
        sds = (log_sds - math.log(2)).clamp(math.log(1 / 8), 2).exp()
        sds = torch.cat((torch.full((2,), 0.125 / 12**0.5), sds)).double()
        prior = (
            logits.softmax(0)[:, None] * Normal(means[:, None], sds[:, None]).log_prob(grid).exp()
        ).sum(0)
        noise = (x[..., k].flatten() - t * grid) / (1 - t)
        weights = prior * torch.exp(-0.5 * noise**2)
        expected = (weights * (grid - noise)).sum() / weights.sum()
        torch.testing.assert_close(found[k], expected, rtol=1e-4, atol=1e-5)


def test_the_probes_come_from_their_seed_and_are_no_part_of_the_state():
    first, second, other = (linear(1, probes=2, noise_seed=seed).probes for seed in (7, 7, 8))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(linear(1, probes=99).probes.flatten(1), torch.eye(3).double())
    assert "probes" not in linear(1).state_dict()


@pytest.mark.parametrize("domain", [Images(3, 5, 7, bits=1), Images(1, 1, 1)])
def test_any_size_is_taken(domain):
    model = flow_matching(domain, width=2, halvings=2, heads=1, steps=2)
    assert model.log_prob(images(domain, 2)).isfinite().all()
    assert model.log_prob(images(domain, 0)).shape == (0,)
    assert model.likelihood == "estimate"


@pytest.mark.parametrize("t", [0.99, 0.6, 0.05])
def test_the_derivative_of_the_velocity_of_a_pixel(t):
    """Against differences; some deviations lie beyond a limit, where they do not change."""
    domain, generator = Images(2, 2, 1, bits=4), torch.Generator().manual_seed(0)
    pixels = PixelMixture(domain, components=2)
    raw = 2 * torch.randn(3, pixels.outputs, 2, 1, generator=generator).double()
    x = torch.randn(3, *domain.shape, generator=generator).double()
    slopes = torch.randn(3, 2, *raw.shape[1:], generator=generator).double()
    directions = torch.randn(3, 2, *domain.shape, generator=generator).double()
    times = torch.full((3,), t).double()
    velocity, along = pixels.velocity_along(raw, x, times, slopes, directions)
    torch.testing.assert_close(velocity, pixels.velocity(raw, x, times), rtol=1e-12, atol=0)
    for k in range(2):
        ahead, behind = (
            pixels.velocity(raw + h * slopes[:, k], x + h * directions[:, k], times)
            for h in (1e-6, -1e-6)
        )
        torch.testing.assert_close(along[:, k], (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-6)


def test_layer_gradients_are_those_of_the_loop_without_one():
    model, domain = small(steps=3, probes=2)
    groups, engine = images(domain, 4).unflatten(0, (2, 2)), LayerGradientEngine()
    assert engine.plan(model.eval(), groups) is not None
    expected = looped_layer_gradients(model, groups)
    torch.testing.assert_close(engine(model, groups), expected, rtol=1e-9, atol=0)


def test_derivatives_along_directions_and_their_gradients_are_those_of_autograd():
    """Attention has four places to weigh; gradients pass through values and derivatives."""
    torch.manual_seed(0)
    options = {"width": 4, "halvings": 1, "heads": 2, "components": 2}
    network = UNetVelocity(Images(2, 4, 3, bits=3), **options).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape).double())
    x, t = torch.randn(2, 2, 4, 3).double().requires_grad_(), torch.tensor([0.9, 0.3]).double()
    directions = torch.randn(2, 3, 2, 4, 3).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x, t), x, create_graph=True)
    expected = torch.einsum("nabcnijk,npijk->npabc", jacobian, directions)
    velocity, along = network.along(x, t, directions)
    torch.testing.assert_close(velocity, network(x, t))
    torch.testing.assert_close(along, expected)
    wanted, weights = [x, *network.parameters()], torch.randn(along.shape).double()
    found, gradients = (
        torch.autograd.grad((part * weights).sum(), wanted) for part in (along, expected)
    )
    torch.testing.assert_close(found, gradients)
