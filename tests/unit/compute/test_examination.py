"""Models whose log-probability is not that of each example alone give no number."""

from __future__ import annotations

import textwrap

import pytest
import torch

from harness.compute.device import find_device
from harness.compute.dry_run import check_suite
from harness.compute.examination import differs, examine
from harness.errors import ScoreError
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.store.records import Store
from harness.suite import load_suite
from oodbench import Images
from plugins.models.glow_linear import glow_linear
from tests.places import settings_in

DOMAIN = Images(1, 2, 3)

PLUGIN = """
import torch
from oodbench import Entry, hookimpl


@hookimpl
def bench_models():
    forms = (Sound, Half, Batchy, Mean, Noisy, Holed, Ordered, Column, Whole)
    return [Entry(form.__name__.lower(), f":{form.__name__}", "a form") for form in forms]


class Sound(torch.nn.Module):
    likelihood = "estimate"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.mu = torch.nn.Parameter(torch.zeros(domain.dims))

    def values(self, x):
        return -100 * (x.flatten(1).to(self.mu.dtype) / 255 - self.mu).square().sum(1)

    def log_prob(self, x):
        return self.values(x)

    def training_loss(self, x, generator):
        return -self.values(x).mean()


class Half(Sound):
    def log_prob(self, x):
        return self.values(x).half()


class Batchy(Sound):
    def log_prob(self, x):
        values = self.values(x)
        return values - values.mean() if len(values) > 1 else values


class Mean(Sound):
    def log_prob(self, x):
        return self.values(x).mean().expand(len(x))


class Noisy(Sound):
    def log_prob(self, x):
        return self.values(x) + 500 * torch.randn(len(x))


class Ordered(Sound):
    def log_prob(self, x):
        return self.values(x) + torch.arange(len(x)) * (len(x) > 1)


class Column(Sound):
    def log_prob(self, x):
        return self.values(x)[:, None]


class Whole(Sound):
    def log_prob(self, x):
        return self.values(x).long()


class Holed(Sound):
    def log_prob(self, x):
        bright = x.flatten(1).float().mean(1) > 100
        return torch.where(bright, -torch.inf, self.values(x))
"""

SUITE = """
    [plugins]
    paths = ["plugin.py"]
    [training.brief]
    minibatch = 64
    examples = 128
    [models.FORM]
    plugin = "FORM"
    training = "brief"
    [datasets.digits]
    plugin = "digits"
    [datasets.noise]
    plugin = "noise"
    options = { channels = 1, height = 8, width = 8, n_train = 10, n_test = 100 }
    [[comparisons]]
    models = "FORM"
    in = "digits"
    out = "others"
    epochs = [1]
    scorers = ["log-likelihood", "gradient-norm", "mean-intensity"]
    n_in = 50
    n_fit = 50
    n_out = 50
"""


def suite_of(folder, form):
    (folder / "plugin.py").write_text(PLUGIN)
    path = folder / "suite.toml"
    path.write_text(textwrap.dedent(SUITE).replace("FORM", form))
    return load_suite(path)


def form_of(name):
    names = {"__name__": "plugin"}
    exec(PLUGIN, names)
    return names[name](DOMAIN).eval()


def examples():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (8, *DOMAIN.shape), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", ["Sound", "Half"])
def test_sound_models_pass(name):
    examine(form_of(name), examples())


def test_flows_pass():
    examine(glow_linear(DOMAIN, steps=2, width=8, hidden_layers=1).eval(), examples())


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Batchy", "depends on the other examples in the batch"),
        ("Mean", "depends on the other examples in the batch"),
        ("Noisy", "changes from call to call"),
        ("Ordered", "depends on the batch order"),
        ("Column", r"has shape \\(8, 1\\), not \\(8,\\)"),
        ("Whole", "must return a floating tensor, not torch.int64"),
    ],
)
def test_leaks_are_named(name, fault):
    with pytest.raises(ScoreError, match=fault.replace("\\\\", "\\")):
        examine(form_of(name), examples())


@pytest.mark.parametrize("form", ["batchy", "noisy"])
def test_leaking_models_fail_their_cells(tmp_path, form):
    outcome = run(suite_of(tmp_path, form), settings_in(tmp_path), lambda event: None)
    assert len(outcome.results) == 3  # the baseline's cell needs the bits per dimension
    for result in outcome.results:
        assert result.status == "failed"
        assert "use no mean over the batch" in result.message


def test_check_finds_leaks_too(tmp_path):
    suite, settings = suite_of(tmp_path, "batchy"), settings_in(tmp_path)
    plan = plan_unopened(suite, settings)
    checked = list(check_suite(suite, plan, Store(settings.store), find_device("cpu")))
    assert "depends on the other examples" in checked[0].problem


def test_gradients_where_the_density_is_zero_are_no_score(tmp_path):
    outcome = run(suite_of(tmp_path, "holed"), settings_in(tmp_path), lambda event: None)
    failed = {x.cell.scorer: x.message for x in outcome.results if x.status == "failed"}
    assert set(failed) == {"log-likelihood", "gradient-norm"}
    assert "not finite" in failed["gradient-norm"]
    assert "at test example" in failed["gradient-norm"]


@pytest.mark.parametrize(
    ("dtype", "rounding", "leak"),
    [
        (torch.float64, 5e-9, 5e-8),
        (torch.float32, 5e-5, 5e-4),
        (torch.float16, 5e-3, 5e-2),
    ],
)
def test_the_tolerance_is_some_units_of_rounding(dtype, rounding, leak):
    values = torch.tensor([-1000.0, -250.0], dtype=dtype)
    factor = torch.tensor(1.0, dtype=torch.float64)
    assert not differs((values.double() * (factor + rounding)).to(dtype), values)
    assert differs((values.double() * (factor + leak)).to(dtype), values)
    assert differs(torch.full_like(values, torch.nan), values)
    assert not differs(torch.full_like(values, torch.nan), torch.full_like(values, torch.nan))
