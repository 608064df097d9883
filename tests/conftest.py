"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import gc
import os
import textwrap
from pathlib import Path

import pytest
from hypothesis import settings

from tests.environments import ROOT, make_environment
from tests.once import made_once
from tests.places import settings_in

# Tests and the processes that they start compute one thing at a time: small tensors are slowed
# down by threads, and threads of several processes slow one another down.
os.environ["OMP_NUM_THREADS"] = "1"

# A deadline for each example would make a test fail wherever the machine is busy.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

TINY_SUITE = """
    title = "Tiny"

    [training.brief]
    learning_rate = 1e-3
    minibatch = 64
    examples = 256

    [models.flow]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 4 }
    training = "brief"

    [datasets.digits]
    plugin = "digits"

    [datasets.noise]
    plugin = "noise"
    options = { n_train = 10, n_test = 40 }

    [datasets.photos]
    plugin = "photos"
    options = { n_train = 10, n_test = 40 }

    [[comparisons]]
    models = "flow"
    in = "digits"
    out = "others"
    epochs = [0, 2]
    group_sizes = [1, 5]
    scorers = ["log-likelihood", "typicality", "gradient-gaussian"]
    n_in = 30
    n_fit = 30
    n_out = 30
"""


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test touches the user's store or data."""
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))


@pytest.fixture(autouse=True)
def collected_garbage():
    """No test leaves objects frozen, as `bench report` does just before its process ends.

    At the end of a process of tests, Triton would call its frozen objects leaked.
    """
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """The Python of an environment in which the wheel is installed; no test changes it."""

    def make(folder):
        make_environment(folder, [ROOT], lends_the_project=False)

    return made_once(tmp_path_factory, "installed", make) / "environment" / "bin" / "python"


@pytest.fixture
def write_suite(tmp_path):
    """Write a suite file and return its path."""

    def write(text: str, name: str = "suite.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def tiny_suite(write_suite):
    """A suite that runs in seconds."""
    return write_suite(TINY_SUITE, "tiny.toml")


@pytest.fixture
def settings(tmp_path):
    """Settings of a run in this process."""
    return settings_in(tmp_path)
