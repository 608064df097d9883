"""Many saved epochs, hostile ones among them: the others have numbers, nothing else is kept."""

from __future__ import annotations

import os
import textwrap

import pytest
import torch

from harness.events import StepStarted
from harness.plan.jobs import ChainId
from harness.run.prepare import plan_opened
from harness.run.run import run
from harness.store.layout import CHECKPOINTS, WEIGHTS
from harness.store.records import Store
from harness.suite import load_suite
from tests.places import settings_in

EPOCHS = 40
CHAIN = ChainId("mine", "digits", 0)
PLUGIN = """
    import math

    import torch
    from oodbench import Entry, hookimpl


    @hookimpl
    def bench_models():
        return [Entry("gaussian", ":Gaussian", "test")]


    class Gaussian(torch.nn.Module):
        likelihood = "exact"

        def __init__(self, domain):
            super().__init__()
            self.domain, self.mean = domain, torch.nn.Parameter(torch.zeros(domain.dims))

        def log_prob(self, x):
            distance = (x.flatten(1).to(self.mean.dtype) - self.mean) / 64
            return -(distance**2 / 2 + math.log(64 * math.sqrt(2 * math.pi))).sum(1)
"""
SUITE = """
    plugins.paths = ["plugin.py"]

    [models.mine]
    plugin = "gaussian"
    checkpoints.files = "epoch_{epoch}.pt"

    [datasets.digits]
    plugin = "digits"

    [datasets.noise]
    plugin = "noise"
    options = { n_train = 10, n_test = 40 }

    [[comparisons]]
    models = "mine"
    in = "digits"
    out = "noise"
    epochs = EPOCHS
    scorers = ["log-likelihood"]
    n_in = 20
    n_fit = 20
    n_out = 20
"""


class Acts:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class CountingStore(Store):
    """A store that counts the looks at a record."""

    looks = 0

    def has(self, kind, key):
        self.looks += 1
        return super().has(kind, key)


def state(epoch):
    return {"mean": torch.full((64,), float(epoch))}


@pytest.fixture
def folder(tmp_path):
    """A suite with many epochs in files."""
    epochs = list(range(1, EPOCHS + 1))
    (tmp_path / "plugin.py").write_text(textwrap.dedent(PLUGIN))
    (tmp_path / "suite.toml").write_text(textwrap.dedent(SUITE).replace("EPOCHS", str(epochs)))
    for epoch in epochs:
        torch.save(state(epoch), tmp_path / f"epoch_{epoch}.pt")
    return tmp_path


def test_hostile_files_fail_alone_and_leave_nothing(folder):
    def file(epoch):
        return folder / f"epoch_{epoch}.pt"

    torch.save(state(3) | {"x": Acts(folder / "ran")}, file(3))
    file(5).write_bytes(file(5).read_bytes()[:-100])
    torch.save({"mean": torch.zeros(65)}, file(7))
    torch.save(state(8), file(9))
    wanted = {
        3: "holds objects besides tensors and plain values: posix.mkdir",
        5: "is damaged",
        7: "mean is 65 of float32 in the file and 64 of float32 in the model",
        9: "epoch_9.pt has the same weights as",
        11: "epoch_11.pt changed while this command was running: run it again",
    }

    def meddle(event):
        if isinstance(event, StepStarted) and event.step == "reading saved epochs":
            torch.save(state(1000), file(11))

    suite, settings = load_suite(folder / "suite.toml"), settings_in(folder)
    outcome = run(suite, settings, meddle)
    failed = {x.cell.epoch: x.message for x in outcome.results if x.status != "ok"}
    assert failed.keys() == wanted.keys()
    assert all(text in failed[epoch] for epoch, text in wanted.items())
    assert len({x.metrics.bits_per_dim_in for x in outcome.results if x.metrics}) == EPOCHS - 5
    assert not (folder / "ran").exists()
    store = Store(settings.store)
    assert len(list(store.keys(CHECKPOINTS))) == EPOCHS - 4, "of the failures, only the copy's"
    for epoch in wanted:
        torch.save(state(epoch), file(epoch))
    outcome = run(suite, settings, lambda event: None)
    assert [x.status for x in outcome.results] == ["ok"] * EPOCHS
    assert len({x.metrics.bits_per_dim_in for x in outcome.results}) == EPOCHS


def test_looks_at_the_store_grow_with_the_number_of_epochs(folder):
    settings = settings_in(folder)
    plan = plan_opened(load_suite(folder / "suite.toml"), settings, lambda event: None)
    store = CountingStore(settings.store)
    epochs = sorted(plan.chains[CHAIN].epochs)
    for epoch in epochs[EPOCHS // 2 :]:
        key = plan.checkpoint_key(CHAIN, epoch)
        store.write(CHECKPOINTS, key, {WEIGHTS: bytes([epoch])}, inputs={}, facts={})
    store.looks = 0
    keys = plan.keys(store)
    for _ in range(5):
        assert [keys.has_checkpoint(CHAIN, epoch) for epoch in epochs] == [
            epoch > EPOCHS // 2 for epoch in epochs
        ]
    assert store.looks < 20 * EPOCHS
