"""What an earlier version wrote is still read: an exported store, its pins and its results.

`tests/data/older` was written before the modules of the harness moved into rooms. A moved module
or a new name must change no key: otherwise everybody's trainings would be computed anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.test_cli import bench

OLDER = Path(__file__).parents[1] / "data" / "older"
SUITE = OLDER / "suite.toml"


@pytest.fixture
def imported(tmp_path):
    """The exported store, imported into a new one; the data is converted anew."""
    done = bench("store", "import", OLDER / "store.zip")
    assert done.returncode == 0, done.stderr
    return tmp_path / "store"


def approximately(value):
    """Floats to 1e-9, inside of anything; scores are computed anew, on any machine."""
    if isinstance(value, dict):
        return {key: approximately(item) for key, item in value.items()}
    if isinstance(value, list):
        return [approximately(item) for item in value]
    return pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value


def test_nothing_of_an_imported_store_is_computed_again(imported):
    done = bench("run", SUITE, "--display", "none")
    assert done.returncode == 0, done.stderr
    plan = bench("plan", SUITE).stdout
    assert plan.splitlines()[-1] == "48 cells, 0 of them new"
    results = json.loads((imported / "results" / "suite" / "results.json").read_text("utf-8"))
    before = json.loads((OLDER / "results" / "results.json").read_text("utf-8"))
    assert len(before["results"]) == 48
    assert results == approximately(before)
    # A run that computes something stores a record; those are the imported ones.
    again = bench("store", "import", OLDER / "store.zip")
    assert again.returncode == 0, again.stderr
    events = next((imported / "runs" / "suite").glob("*/events.jsonl")).read_text("utf-8")
    assert not {"EpochFinished", "JobFinished"} & {
        json.loads(line)["event"] for line in events.splitlines()
    }


def test_older_pins_hold(imported):
    done = bench("verify", SUITE, "--pins", OLDER / "pins.toml")
    assert (done.returncode, done.stdout) == (0, "48 of 48 pinned values hold\n"), done.stderr


def test_older_results_are_compared(imported):
    assert bench("run", SUITE, "--display", "none").returncode == 0
    folder = imported / "results" / "suite"
    done = bench("compare", OLDER / "results", folder, "--fail-on", "worse")
    assert done.returncode == 0, done.stderr
