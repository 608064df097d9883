"""Costs of scorers against the times in the manifests of a store."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import BenchError
from harness.plan.costs import scorer_costs
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.store.records import Store
from harness.suite import load_suite
from tests.conftest import TINY_SUITE

PLUGIN = """
from oodbench import Entry, hookimpl


@hookimpl
def bench_scorers():
    return [Entry("ratio", ":Ratio", "test")]


class Ratio:
    inputs = ("log_prob", "log_prob@other", "log_prob@other:2", "log_prob@flow:0")

    def fit(self, statistics):
        return self

    def score(self, statistics):
        return (statistics["log_prob@other"] - statistics["log_prob"]).mean((1, 2))
"""
SUITE = (
    TINY_SUITE.replace("[models.flow]", "[plugins]\n    paths = ['ratio.py']\n    [models.flow]")
    .replace("[datasets.digits]", f"[models.other]\n{' ' * 4}plugin = 'glow-linear'\n"
    "    options = { steps = 1, width = 4, hidden_layers = 0 }\n"
    "    training = 'brief'\n    [datasets.digits]")
    .replace("epochs = [0, 2]", "epochs = [0, 1]")
    .replace('"typicality", "gradient-gaussian"', '"ratio"')
    .replace('out = "others"', 'out = "noise"')
    .replace("group_sizes = [1, 5]", "group_sizes = 1")
)  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A plan, its store, and the facts of every manifest by what it is of."""
    from tests.places import settings_in

    folder = tmp_path_factory.mktemp("costs")
    (folder / "ratio.py").write_text(PLUGIN, encoding="utf-8")
    path = folder / "costs.toml"
    path.write_text(SUITE, encoding="utf-8")
    settings = settings_in(folder)
    run(load_suite(path), settings, lambda event: None)
    return path, settings


def manifests(store, kind):
    """Every manifest of a kind, with the last part of its key."""
    for path in (store.root / kind).rglob("manifest.json"):
        yield path.parent.name, json.loads(path.read_bytes())


def seconds_of(store, kind, model, key=""):
    """Seconds of each record of a model, by the digest of its weights or by its key."""
    found = {}
    for place, manifest in manifests(store, kind):
        inputs = manifest["inputs"]
        if inputs.get("statistic", {}).get("plugin") == "dequantised_log_prob":
            continue  # for bits per dimension, and read by no scorer
        if inputs["model"]["plugin"] == model and place.endswith(key):
            name = inputs.get("weights", place)
            found.setdefault(name, []).append(manifest["facts"].get("seconds"))
    return found


def weights(store, model, epoch):
    """The digest of the weights of an epoch."""
    [digest] = (
        manifest["files"]["model.safetensors"]["sha256"]
        for place, manifest in manifests(store, "checkpoints")
        if manifest["inputs"]["model"]["plugin"] == model and place == f"epoch-{epoch:06d}"
    )
    return digest


def rate(seconds):
    """Seconds by examples; each job has 30 of them."""
    flat = [second for found in seconds.values() for second in found]
    return sum(flat) / (30 * len(flat))


def test_costs_are_those_that_were_measured(ran):
    path, settings = ran
    store = Store(settings.store)
    costs = scorer_costs(plan_unopened(load_suite(path), settings), store)
    assert list(costs) == ["log-likelihood", "ratio"]
    plain = costs["log-likelihood"]
    assert (plain.extra_training, plain.extra_passes) == (0.0, 0)
    assert plain.seconds_per_example == pytest.approx(
        rate(seconds_of(store, "statistics", "glow"))
    )


def test_other_models_cost_their_training_and_their_passes(ran):
    path, settings = ran
    store = Store(settings.store)
    ratio = scorer_costs(plan_unopened(load_suite(path), settings), store)["ratio"]
    # of the other model epoch 2 is the latest that is read; its seconds stand for both epochs
    [[last]] = seconds_of(store, "checkpoints", "glow-linear", "epoch-000002").values()
    assert ratio.extra_training == pytest.approx(2 * last)
    assert ratio.extra_passes == 3  # at epoch 1; at epoch 0 one of them is its own
    own = seconds_of(store, "statistics", "glow")
    other = seconds_of(store, "statistics", "glow-linear")
    assert (len(own), len(other)) == (2, 3)  # epochs 0 and 1, and 2
    last_weights, first_weights = weights(store, "glow-linear", 2), weights(store, "glow", 0)
    expected = rate(own) + rate({"": other.pop(last_weights)}) + rate(other)
    expected += rate({"": own[first_weights]})
    assert ratio.seconds_per_example == pytest.approx(expected)


def test_extra_training_is_the_mean_over_the_trainings_that_are_scored(ran, monkeypatch):
    path, settings = ran
    text = path.read_text(encoding="utf-8").replace(
        "epochs = [0, 1]", "epochs = 1\nseeds = [0, 1]"
    )
    other = path.with_name("seeds.toml")
    other.write_text(text, encoding="utf-8")
    plan = plan_unopened(load_suite(other), settings)
    seconds = {0: 10.0, 1: 30.0}
    monkeypatch.setattr(
        "harness.plan.costs._Measured.training",
        lambda self, chain, epoch: epoch * seconds[chain.seed],
    )
    # of either seed: the other model to epoch 2, and its own to epoch 0
    assert scorer_costs(plan, Store(settings.store))["ratio"].extra_training == 2 * 20.0


def test_nothing_stored_is_no_cost(ran, tmp_path):
    path, settings = ran
    costs = scorer_costs(plan_unopened(load_suite(path), settings), Store(tmp_path / "empty"))
    assert costs["ratio"].seconds_per_example is None
    assert costs["ratio"].extra_training is None
    assert costs["ratio"].extra_passes == 3


def test_the_command(ran):
    path, settings = ran
    folders = ["--store", str(settings.store), "--data", str(settings.data)]

    def report(*options):
        return CliRunner().invoke(app, ["report", str(path), *folders, *options])

    shown = report("--ranking", "scorers")
    assert shown.exit_code == 0
    assert "Scorers by mean rank" in shown.stdout
    assert shown.stdout == report("--ranking", "scorers").stdout
    found = json.loads(report("--ranking", "scorers", "--format", "json").stdout)
    assert set(found["costs"]) == {"log-likelihood", "ratio"}
    both = report("--ranking", "scorers", "--epochs")
    assert isinstance(both.exception, BenchError)
    assert "are different reports: choose one" in str(both.exception)
    assert "by 0.3 or more" in report("--epochs", "--margin", "0.3").stdout
    alone = report("--margin", "0.3")
    message = "--margin is the margin of --epochs or --figures: give one of them too"
    assert str(alone.exception) == message
