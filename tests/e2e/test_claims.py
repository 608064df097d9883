"""Runs of which cells are missing: sentences and ranks are about what all have in common."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from harness.cli.app import app

FLOW = """
    [training.brief]
    minibatch = 64
    examples = 128

    [models.flow]
    plugin = "glow-linear"
    options = { steps = 2, width = 16, hidden_layers = 1 }
    training = "brief"

    [datasets.digits]
    plugin = "digits"

    [datasets.noise]
    plugin = "noise"
    options = { channels = 1, height = 8, width = 8, n_train = 10, n_test = 100 }
"""

ASKED_FOR_ONCE_MORE = """
    [datasets.photos]
    plugin = "photos"
    options = { size = 8, channels = 1, n_train = 200, n_test = 200 }

    [datasets.constant]
    plugin = "constant"
    options = { channels = 1, height = 8, width = 8, n_train = 100, n_test = 100 }

    [[comparisons]]
    models = ["flow"]
    in = "digits"
    out = ["noise", "photos", "constant"]
    epochs = [1]
    scorers = ["log-likelihood", "typicality", "gradient-gaussian"]
    n_in = 100
    n_out = 100

    [[comparisons]]
    models = ["flow"]
    in = "photos"
    out = ["constant"]
    epochs = [1]
    scorers = ["log-likelihood"]
    n_in = 100
    n_out = 100
"""

SCORERS = ("log-likelihood", "typicality", "gradient-gaussian", "mean-intensity", "png-size")

TWO_ARE_MISSING = f"""
    [datasets.missing]
    plugin = "folder"
    options = {{ path = "not-here", size = 8, channels = 1 }}

    [datasets.lost]
    plugin = "folder"
    options = {{ path = "nor-here", size = 8, channels = 1 }}

    [[comparisons]]
    models = ["flow"]
    in = "digits"
    out = "others"
    epochs = [1]
    scorers = {list(SCORERS)}
    n_in = 50
    n_fit = 50
    n_out = 50
"""


def printed(suite, *options):
    command = ["run", str(suite), "--display", "none", "--executor", "sequential", *options]
    return CliRunner().invoke(app, command).stdout


def test_a_scorer_does_not_win_because_others_have_fewer_cells(write_suite):
    """log-likelihood has a number in 4 cells, and the lowest in each of the 3 common ones."""
    text = printed(write_suite(FLOW + ASKED_FOR_ONCE_MORE))
    (sentence,) = re.findall(
        r"^(\S+) has the highest mean AUROC: \S+ (over [^,]+), those", text, re.M
    )
    assert sentence == ("gradient-gaussian", "over 3 of 4 cells")
    assert re.search(r"wrong way round .*: log-likelihood in \d of 4 cells", text)


def test_equally_available_scorers_are_all_ranked(write_suite):
    """Against two of three OOD sets no scorer has a number."""
    text = printed(write_suite(FLOW + TWO_ARE_MISSING), "--allow-missing")
    ranks = re.findall(r"^(\S+) +([1-5]\.\d\d)\*? +\S+ +1/1 ", text, re.M)
    assert {scorer for scorer, _ in ranks} == set(SCORERS)
    assert sum(float(rank) for _, rank in ranks) == 15
    assert "without a rank" not in text
    assert re.search(r"^\S+ \(a trivial baseline\) has the highest mean AUROC", text, re.M)


@pytest.mark.parametrize("axis", ["scorers", "models"])
def test_one_model_and_one_scorer_have_no_rank(write_suite, axis):
    suite = write_suite(FLOW + ASKED_FOR_ONCE_MORE)
    only = ["--only", "scorer=log-likelihood", "--only", "in=photos"]
    printed(suite, *only)
    found = CliRunner().invoke(app, ["report", str(suite), "--ranking", axis, *only])
    assert f"Nothing is ranked: a ranking needs two {axis}" in found.stdout
