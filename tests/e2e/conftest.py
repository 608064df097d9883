"""A repository with pins, for all tests that only read its store."""

from __future__ import annotations

import textwrap

import pytest

from tests import forks
from tests.once import made_once

SUITE = """
    [training.brief]
    examples = 64

    [models.flow]
    plugin = "glow-linear"
    options = { steps = 1, width = 4, hidden_layers = 1 }
    training = "brief"

    [models.other]
    plugin = "glow-linear"
    options = { steps = 1, width = 5, hidden_layers = 1 }
    training = "brief"

    [datasets.digits]
    plugin = "digits"

    [datasets.noise]
    plugin = "noise"
    options = { channels = 1, height = 8, width = 8, n_train = 10, n_test = 40 }

    [[comparisons]]
    models = ["flow", "other"]
    in = "digits"
    out = "noise"
    epochs = 0
    scorers = ["log-likelihood"]
    n_in = 20
    n_fit = 20
    n_out = 20
"""


@pytest.fixture(scope="session")
def pinned(tmp_path_factory):
    """A repository with a test and two pinned cells, whose results are stored."""
    return made_once(tmp_path_factory, "pinned", make_repository)


def make_repository(folder):
    (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
    (folder / "tests").mkdir()
    (folder / "tests" / "test_own.py").write_text("def test_own():\n    pass\n")
    (folder / "tiny.toml").write_text(textwrap.dedent(SUITE))
    common = ["--store", "store", "--data", "data", "--workers", 1, "--display", "none"]
    for command in (["run", "tiny.toml"], ["pin", "tiny.toml", "--tolerance", 0.1]):
        done = forks.run("oodbench", *command, *common, cwd=folder)
        assert done.returncode == 0, done.stderr
