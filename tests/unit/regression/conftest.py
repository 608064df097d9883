"""A small suite that was run once, for all tests that only read its results."""

from __future__ import annotations

import textwrap

import pytest

from harness.cli.display.displays import NoDisplay
from harness.regression.make_pins import make_pins
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.settings import Settings
from harness.suite import load_suite
from tests.conftest import TINY_SUITE


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Path and settings of a suite that was run; nothing may change its store."""
    folder = tmp_path_factory.mktemp("ran")
    path = folder / "tiny.toml"
    path.write_text(textwrap.dedent(TINY_SUITE).replace("epochs = [0, 2]", "epochs = 1"))
    settings = Settings(
        folder / "store", folder / "data", "cpu", workers=1, threads=1, executor="sequential"
    )
    assert run(load_suite(path), settings, NoDisplay()).exit_status == 0
    return path, settings


@pytest.fixture
def scored(ran):
    """Plan and results of the suite, scored anew by the code as it is now."""

    def build(old="", new=""):
        path, settings = ran
        changed = path.with_name("changed.toml")
        assert old in path.read_text()
        changed.write_text(path.read_text().replace(old, new) if old else path.read_text())
        plan = plan_unopened(load_suite(changed), settings)
        return plan, score_stored(plan, settings, lambda event: None).results

    return build


@pytest.fixture(scope="module")
def pins(ran):
    """Its pins."""
    path, settings = ran
    made, problems = make_pins(load_suite(path), settings, NoDisplay(), tolerance=0.004)
    assert problems == []
    return made
