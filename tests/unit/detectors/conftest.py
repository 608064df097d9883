"""A store with the results of a tiny suite, and detectors made from it, for all tests."""

from __future__ import annotations

import shutil
import textwrap

import pytest

from harness.detectors.make import make_detector
from harness.run.run import run
from harness.suite import load_suite
from oodbench import Detector
from tests.conftest import TINY_SUITE
from tests.places import settings_in

PLUGIN = """
import numpy as np
from oodbench import Entry, hookimpl


@hookimpl
def bench_scorers():
    return [Entry("distance", ":Distance", "distance from the mean log-probability")]


class Distance:
    inputs = ("log_prob",)

    def fit(self, statistics):
        self.mean = statistics["log_prob"].mean()
        return self

    def score(self, statistics):
        return np.abs(statistics["log_prob"].mean(axis=(1, 2)) - self.mean)
"""
NAMED = """
    [scorers.two-epochs]
    plugin = "waic"
    options = { epochs = [0, 2] }

    [scorers.two-models]
    plugin = "likelihood-ratio"
    options = { background = "other" }

    [scorers.both]
    plugin = "ensemble"
    options = { scorers = ["typicality", "fisher-diagonal"] }

    [models.other]
    plugin = "glow-linear"
    options = { steps = 1, width = 8, hidden_layers = 1 }
    training = "brief"
"""
SCORERS = (
    "typicality",
    "gradient-gaussian",
    "fisher-diagonal",
    "two-epochs",
    "two-models",
    "both",
    "mean-intensity",
    "distance",
)
SUITE = 'plugins.paths = ["distance.py"]\n' + textwrap.dedent(TINY_SUITE).replace(
    '"log-likelihood", "typicality", "gradient-gaussian"', str(SCORERS)[1:-1]
).replace("[[comparisons]]", f"{textwrap.dedent(NAMED)}\n[[comparisons]]")


class Made:
    """The folder with the suite, its store and its data."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "tiny.toml"
        self.path.write_text(SUITE)
        (folder / "distance.py").write_text(PLUGIN)
        self.settings = settings_in(folder)
        self.detectors = {}
        self.suite = load_suite(self.path)
        run(self.suite, self.settings, lambda event: None)

    def detector(self, scorer, group_size=1):
        """The folder of a detector, and the detector, made once."""
        if (scorer, group_size) not in self.detectors:
            self.detectors[scorer, group_size] = self._detector(scorer, group_size)
        return self.detectors[scorer, group_size]

    def _detector(self, scorer, group_size):
        folder = self.folder / f"{scorer}-{group_size}"
        cell = {"scorer": scorer, "epoch": 2, "group_size": group_size}
        make_detector(self.suite, self.settings, cell, folder)
        plugins = [str(self.folder / "distance.py")]
        return folder, Detector.load(folder, plugins=plugins, device="cpu")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("detectors"))


@pytest.fixture
def copy(made, tmp_path):
    """The folder of a detector, to be damaged."""
    folder, _ = made.detector("typicality")
    return shutil.copytree(folder, tmp_path / "copy")
