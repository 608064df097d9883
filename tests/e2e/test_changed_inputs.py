"""Inputs that change between two runs, run as people run them: numbers are computed anew."""

from __future__ import annotations

import json
import os

import pytest

from tests.e2e.test_cli import bench

SUITE = """
    [plugins]
    paths = ["mine.py"]

    [training.none]

    [models.flow]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 4 }
    training = "none"

    [datasets.digits]
    plugin = "digits"

    [datasets.flat]
    plugin = "flat"

    [[comparisons]]
    models = "flow"
    in = "digits"
    out = "flat"
    epochs = 0
    scorers = ["log-likelihood", "brightness"]
    n_in = 20
    n_fit = 20
    n_out = 20
"""
PLUGIN = """
    import numpy as np

    from helper import LEVEL
    from oodbench import Entry, Images, hookimpl


    @hookimpl
    def bench_datasets():
        return [Entry("flat", ":Flat", "flat images")]


    @hookimpl
    def bench_statistics():
        return [Entry("brightness", ":Brightness", "mean over a level")]


    @hookimpl
    def bench_scorers():
        return [Entry("brightness", ":ByBrightness", "mean over a level")]


    class Flat:
        domain = Images(1, 8, 8)
        splits = ("test",)

        def load(self, split):
            noise = np.random.default_rng(0).integers(0, 20, (100, 1, 8, 8))
            return np.clip(noise + LEVEL, 0, 255).astype(np.uint8)


    class Brightness:
        per = "example"
        reads_model = False

        def features(self, model):
            return ("brightness",)

        def __call__(self, model, groups):
            return (groups.double().mean((1, 2, 3, 4)) / LEVEL).numpy().reshape(-1, 1)


    class ByBrightness:
        inputs = ("brightness",)

        def fit(self, statistics):
            return self

        def score(self, statistics):
            return statistics["brightness"].mean(axis=(1, 2))
"""


@pytest.fixture
def suite(write_suite, tmp_path, monkeypatch):
    """A suite with a plugin file that imports `helper`, a module on `sys.path`."""
    above = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), above])))
    write_suite(PLUGIN, "mine.py")
    write_suite("LEVEL = 10\n", "helper.py")
    return write_suite(SUITE)


def auroc(suite, store):
    done = bench("run", suite, "--store", store, "--data", store / "data", "--display", "none")
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((store / "results" / "suite" / "results.json").read_text("utf-8"))
    return {row["scorer"]: row["auroc"] for row in results["results"]}


def test_an_edited_helper_of_a_plugin_file_is_noticed(suite, write_suite, tmp_path):
    store = tmp_path / "store"
    first = auroc(suite, store)
    write_suite("LEVEL = 200\n", "helper.py")
    shown = bench("plan", suite, "--why", "--store", store, "--data", store / "data").stdout
    assert "data set 'flat' has not been opened yet" in shown
    assert "the nearest stored record differs: statistic.imports.helper is " in shown
    second = auroc(suite, store)
    assert second["log-likelihood"] != first["log-likelihood"]
    assert second == auroc(suite, tmp_path / "that-never-saw-the-older-helper")
