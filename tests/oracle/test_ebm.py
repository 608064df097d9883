"""The energy-based model: Langevin steps, the training loss and its chains, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from harness.compute.gradients import CompiledGradients
from harness.compute.trainer import Training, training_loss
from oodbench import Images
from plugins.models.ebm import ebm
from plugins.models.networks.ebm import EBM, Langevin
from tests.oracle.test_training import CPU, component
from tests.oracle.test_vae import images

DOMAIN = Images(1, 2, 2, bits=2)
EVERY = torch.cartesian_prod(*[torch.arange(4)] * 4).reshape(-1, 1, 2, 2).byte()
OPTIONS = {
    "chains": 64,
    "langevin": Langevin(size=0.5, largest=0.1, noise=0.2),
    "steps": 3,
    "sampling_steps": 3,
    "restart": 0.0,
    "regularisation": 0.0,
}


class Bowl(nn.Module):
    """E(y) = |y - centre|^2 / (2 sd^2), for each image."""

    def __init__(self, centre=0.1, sd=0.3):
        super().__init__()
        self.centre, self.sd = nn.Parameter(torch.tensor(centre)), sd

    def forward(self, y):
        return ((y - self.centre) ** 2 / (2 * self.sd**2)).flatten(1).sum(1, keepdim=True)


def bowl(domain=DOMAIN, centre=0.1, sd=0.3, **options):
    torch.manual_seed(0)
    return EBM(domain, energy=Bowl(centre, sd), **(OPTIONS | options)).double().train()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_log_prob_is_minus_the_energy():
    y = 2 * EVERY.double() / 3 - 1
    expected = -((y - bowl().energy.centre) ** 2).flatten(1).sum(1) / (2 * 0.3**2)
    torch.testing.assert_close(bowl().log_prob(EVERY), expected)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_samples_are_langevin_steps_pixel_by_pixel(temperature):
    """The same noise, one number at a time, with the gradient of the bowl by hand."""
    model, given = bowl(sampling_steps=3), generator(5)
    found = model.sample(7, generator(5), temperature)
    chosen = torch.randperm(64, generator=given)[:7]
    y = 2 * model.chains[chosen].double() / 3 - 1
    for _ in range(3):
        noise = torch.randn(y.shape, generator=given)
        for at in np.ndindex(*y.shape):
            slope = (float(y[at]) - model.energy.centre.item()) / 0.3**2
            slope = min(max(slope, -0.1), 0.1)
            moved = float(y[at]) - 0.5 * slope + 0.2 * temperature * float(noise[at])
            y[at] = min(max(moved, -1.0), 1.0)
    assert found.tolist() == torch.round((y + 1) * 1.5).to(torch.uint8).tolist()


def test_chains_have_the_distribution_of_the_model_if_the_step_is_half_the_noise_squared():
    """In one pixel, N(centre, sd^2): unadjusted Langevin dynamics with a small step."""
    model = bowl(
        Images(1, 1, 1),
        sd=0.2,
        chains=4000,
        langevin=Langevin(size=0.5 * 0.05**2, largest=1e9, noise=0.05),
        sampling_steps=150,
    )
    y = 2 * model.sample(4000, generator()).double() / 255 - 1
    assert float(y.mean()) == pytest.approx(0.1, abs=0.02)
    assert float(y.std()) == pytest.approx(0.2, rel=0.05)


def test_the_loss_is_the_difference_of_the_mean_energies_and_their_squares():
    x, plain = EVERY[7:15], bowl()
    other = bowl(regularisation=0.3)
    loss = other.training_loss(x, generator())
    difference = plain.training_loss(x, generator())
    torch.testing.assert_close(
        difference, plain.log_prob(ends(plain)).mean() - plain.log_prob(x).mean()
    )
    energies, others = -other.log_prob(x), -other.log_prob(ends(other))
    squares = energies.square().mean() + others.square().mean()
    expected = energies.mean() - others.mean() + 0.3 * squares
    torch.testing.assert_close(loss, expected)
    (found,) = torch.autograd.grad(loss, [other.energy.centre])
    (wanted,) = torch.autograd.grad(expected, [other.energy.centre])
    torch.testing.assert_close(found, wanted)  # the ends of chains are constants


def ends(model):
    """The chains that differ from those of a new model: the ends of the last step."""
    start = bowl().chains
    order = torch.randperm(64, generator=generator())[:8]
    rest = torch.ones(64, dtype=torch.bool)
    rest[order] = False
    assert torch.equal(model.chains[rest], start[rest])
    assert not torch.equal(model.chains[order], start[order])
    return model.chains[order]


def test_chains_that_start_again_have_pixels_of_independent_images_of_the_minibatch():
    """What a number lacks to 200 + its place is ten times the number of its source."""
    still, domain = {"langevin": Langevin(1e-12, 1.0, 0.0), "steps": 1}, Images(2, 2, 2)
    place = torch.arange(8, dtype=torch.uint8).reshape(domain.shape)
    x = 200 + place - 10 * torch.arange(4, dtype=torch.uint8).repeat(100)[:, None, None, None]
    for restart, low, high in ((0.0, 0, 0), (0.25, 0.15, 0.35), (1.0, 1, 1)):
        model = bowl(domain, chains=400, restart=restart, **still)
        before = model.chains.clone()
        model.training_loss(x, generator())
        changed = (model.chains != before).flatten(1).any(1)
        assert low <= changed.double().mean() <= high
    sources = (200 + place - model.chains).double().flatten(1) / 10
    assert set(sources.unique().tolist()) == {0, 1, 2, 3}
    assert sources.mean(0).sub(1.5).abs().max() < 0.25  # each place: all images equally often
    assert torch.corrcoef(sources.T).fill_diagonal_(0).abs().max() < 0.2


def test_only_training_moves_the_chains():
    model = bowl()
    before = model.chains.clone()
    model.sample(100, generator())  # more samples than chains
    model.eval().training_loss(EVERY[:8], generator())
    assert torch.equal(model.chains, before)
    model.train().training_loss(EVERY, generator())  # more images than chains
    assert not torch.equal(model.chains, before)


def test_training_finds_the_distribution_of_tiny_images():
    """Three of four pixels agree in the data; the partition function is enumerated."""
    data = EVERY[(EVERY.flatten(1)[:, :3] == EVERY.flatten(1)[:, :1]).all(1)]  # 16 of 256
    torch.manual_seed(0)
    model = ebm(
        DOMAIN,
        width=16,
        halvings=1,
        chains=256,
        steps=10,
        step_size=0.08,
        step_noise=0.4,
        largest_gradient=100.0,
        regularisation=0.01,
    ).train()
    optimizer, noise = torch.optim.Adam(model.parameters(), lr=5e-3), generator()

    def nats():
        values = model.log_prob(EVERY)
        return (values.logsumexp(0) - model.log_prob(data).mean()).item()

    assert nats() == pytest.approx(np.log(256), abs=0.2)
    for _ in range(200):
        loss = model.training_loss(data.repeat(4, 1, 1, 1), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert nats() < np.log(256) - 1


def test_an_interrupted_training_goes_on_with_the_same_chains():
    domain = Images(1, 3, 3)
    data = images(domain, 64).numpy()
    built = component(lambda d: ebm(d, width=4, halvings=1, chains=40, steps=2), minibatch=16)

    def training():
        return Training(built, domain, data, 3, CPU)

    whole, kept = training(), []
    whole.start()
    for _ in range(2):
        whole.run_epoch(lambda n: None, lambda: kept.append((*whole.state(), whole.progress())))
    for place, steps in ((1, 2), (4, 6)):
        weights, optimizer, progress = kept[place]
        continued = training()
        continued.resume_within(weights, optimizer, progress, steps)
        while continued.epoch < 2:
            continued.run_epoch(lambda n: None)
        assert continued.state() == whole.state()
    assert not torch.equal(whole.model.chains, training().model.chains)


def test_a_step_that_cannot_be_compiled_leaves_the_chains_to_the_plain_step():
    def backend(graph, inputs):
        raise NotImplementedError("no kernel")

    def step(take):
        model = bowl()
        loss = take(model, EVERY[:8], generator())
        return loss, model.chains, model.energy.centre.grad

    def uncompiled(model, x, noise):
        loss = training_loss(model, x, noise)
        loss.backward()
        return loss.detach()

    compiled = CompiledGradients(training_loss, lambda note: None, backend)
    for found, expected in zip(step(compiled), step(uncompiled), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("domain", [Images(1, 28, 28), Images(3, 5, 7), Images(1, 1, 1)])
def test_any_size_is_taken(domain):
    model = ebm(domain, width=2, chains=4, sampling_steps=2)
    assert model.log_prob(images(domain, 2)).isfinite().all()
    assert model.sample(2, generator()).shape == (2, *domain.shape)
    assert model.sample(0, generator()).shape == (0, *domain.shape)
    assert model.log_prob(images(domain, 0)).shape == (0,)


def test_the_step_is_made_of_the_options():
    model = ebm(DOMAIN, step_size=2.0, largest_gradient=0.5, step_noise=0.25)
    assert model._langevin == replace(OPTIONS["langevin"], size=2.0, largest=0.5, noise=0.25)
