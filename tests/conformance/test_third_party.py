"""Models as third parties write them pass `bench plugins check`: VAE, autoregression, energy."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from harness.cli.app import app
from harness.registry.scaffold import new_file
from oodbench import Images

TOLERANCE = 0.15  # nats, of about 20: the error of 9 x 9 points is 0.07
EXAMPLE = Path(__file__).parents[2] / "examples" / "oodbench-example" / "src"


@pytest.fixture
def vae(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE)
    from oodbench_example import vae

    return vae


class MaskedNetwork(nn.Module):
    """P(x) = Π_i P(x_i | x_<i), categorical, by one masked hidden layer per pixel order."""

    likelihood = "exact"

    def __init__(self, domain, *, width: int = 2):
        super().__init__()
        self.domain = domain
        dims, levels = domain.dims, domain.levels
        degree = torch.arange(dims).repeat_interleave(width)  # of the hidden units
        pixel = torch.arange(dims)
        self.register_buffer("enter", (degree[:, None] > pixel).float())
        self.register_buffer("leave", (pixel.repeat_interleave(levels)[:, None] >= degree).float())
        self.first = nn.Linear(dims, dims * width)
        self.second = nn.Linear(dims * width, dims * levels)

    def log_prob(self, x):
        y = x.flatten(1).to(self.enter.dtype) / self.domain.levels - 0.5
        hidden = torch.tanh(
            nn.functional.linear(y, self.first.weight * self.enter, self.first.bias)
        )
        logits = nn.functional.linear(
            hidden, self.second.weight * self.leave, self.second.bias
        ).view(len(x), self.domain.dims, self.domain.levels)
        log_p = logits.to(y.dtype).log_softmax(-1)
        return log_p.gather(-1, x.flatten(1).long().unsqueeze(-1)).sum((1, 2))


class Energy(nn.Module):
    """log P(x) = -E(x) + a constant that nobody knows."""

    likelihood = "unnormalized"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.network = nn.Sequential(nn.Linear(domain.dims, 8), nn.Tanh(), nn.Linear(8, 1))

    def log_prob(self, x):
        y = x.flatten(1).to(self.network[0].weight.dtype) / self.domain.levels
        return -self.network(y).squeeze(1).to(y.dtype)

    def training_loss(self, x, generator):
        noise = torch.randint(self.domain.levels, x.shape, generator=generator, dtype=torch.uint8)
        return self.log_prob(noise).mean() - self.log_prob(x).mean()


def outcomes(checks):
    return {check.name: check.outcome for check in checks}


def test_an_autoregression(examine):
    status, checks = examine("models", MaskedNetwork)
    assert status == 0, checks
    assert outcomes(checks)["unit"] == "passed"


def test_an_energy(examine):
    status, checks = examine("models", Energy)
    assert status == 0, checks
    assert outcomes(checks)["unit"] == "skipped"
    assert outcomes(checks)["training_loss"] == "passed"


def test_the_vae_of_the_example(examine, vae):
    status, checks = examine("models", vae.SmallVAE, "-o", "hidden=8")
    assert status == 0, checks
    assert {name for name, outcome in outcomes(checks).items() if outcome != "passed"} == {
        "estimate_noise",
        "log_density",
        "log_prob_tokens",
        "prepare",
        "to_noise",
    }


def test_the_vae_of_the_example_on_another_device(examine, vae):
    status, checks = examine("models", vae.SmallVAE, "-o", "hidden=8", "--device", "emulated")
    assert status == 0, checks
    assert set(outcomes(checks).values()) == {"passed"}


@pytest.mark.parametrize("kind", ["model", "statistic"])
def test_templates_on_another_device(kind, tmp_path):
    path = new_file(kind, "fresh", tmp_path)
    command = ["plugins", "check", str(path), "--device", "emulated"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.stdout


def test_scorers_have_no_device():
    command = ["plugins", "check", "waic", "-o", "seeds=[0, 1]", "--device", "emulated"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "scorers use NumPy alone, on the CPU" in result.stdout


def test_the_bound_of_the_vae(vae):
    """Against the integrals over z on a fine grid, in float64, and against its own draws."""
    torch.manual_seed(0)
    model = vae.SmallVAE(Images(1, 2, 2, bits=3), hidden=8).double()
    x = torch.randint(8, (20, 1, 2, 2), dtype=torch.uint8)
    axis = torch.linspace(-7, 7, 141, dtype=torch.float64)
    z, area = torch.cartesian_prod(axis, axis), (axis[1] - axis[0]) ** 2
    normal = torch.distributions.Normal
    with torch.no_grad():
        prior = normal(0.0, 1.0).log_prob(z).sum(1)
        joint = model._log_pixels(x.unsqueeze(1), z.expand(20, -1, -1)) + prior
        mean, log_sd = (item.unsqueeze(1) for item in model._encode(x))
        q = normal(mean, log_sd.exp()).log_prob(z).sum(2)
        bound = (q.exp() * (joint - q)).sum(1) * area
        found = model.log_prob(x)
        losses = [
            model.training_loss(x, torch.Generator().manual_seed(seed)) for seed in range(100)
        ]
    assert (found <= joint.logsumexp(1) + area.log()).all()
    assert (found - bound).abs().max() < TOLERANCE
    loss = torch.stack(losses)
    assert abs(loss.mean() + found.mean()) < 4 * loss.std() / 10


def test_a_vae_without_its_divergence_is_found(examine, vae):
    class NoDivergence(vae.SmallVAE):
        def log_prob_terms(self, x):
            terms = super().log_prob_terms(x)
            return {"reconstruction": terms["reconstruction"]}

        def training_loss(self, x, generator):
            return -self.log_prob(x).mean()

    status, checks = examine("models", NoDivergence, "-o", "hidden=8")
    assert status == 1
    failed = {check.name: check.message for check in checks if check.outcome == "failed"}
    assert failed.keys() == {"unit"}
    assert "total probability" in failed["unit"]
