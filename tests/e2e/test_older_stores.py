"""What an earlier version wrote is still read: an exported store, its pins and its results.

`tests/data/older` was written before the modules of the harness moved into rooms. A moved module
or a new name must change no key: otherwise everybody's trainings would be computed anew.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.metrics.estimates import estimate_of
from harness.metrics.evidence import evidence_of_scores
from harness.run.prepare import plan_opened
from harness.store.records import Store
from harness.suite import load_suite
from tests.e2e.test_cli import bench
from tests.made_results import estimated
from tests.places import settings_in

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


NEW_METRICS = ("ovl_scores", "aupr_in")
BITS = ("bits_per_dim_in", "bits_per_dim_out")
NOTE = "bits/dim are unknown: dequantised_log_prob is not stored; bench run computes it"


def compare_with_before(rows, notes):
    """Every number is what it was; bits per dimension were those in the middle of the bin."""
    before = json.loads((OLDER / "results" / "results.json").read_text("utf-8"))["results"]
    assert len(rows) == len(before) == 48
    scores = np.load(OLDER / "results" / "scores.npz")
    bits = []
    for number, (row, earlier) in enumerate(zip(rows, before, strict=True)):
        bits.append([*(row.pop(name) for name in (*BITS, "ovl")), earlier.pop("ovl")])
        for name in BITS:
            row[name] = row.pop(name.replace("dim", "dim_midpoint"))
        for name in NEW_METRICS:
            del row[name]
        # The interval has another formula now, on the same scores.
        sides = scores[f"{number}.in"], scores[f"{number}.out"]
        by_image = row["provenance"].pop("by_image")
        again = estimate_of(evidence_of_scores(*sides, is_by_image=by_image))
        assert earlier.pop("auroc_se") == pytest.approx(estimated(*sides).se)
        assert row["auroc_se_examples"] == pytest.approx(again.se_examples)
        del row["auroc_se_examples"]
        if row.pop("n_fit"):
            assert row["auroc_low"] <= again.low <= again.high <= row["auroc_high"]
            assert row.pop("auroc_se") >= again.se_examples
        else:
            assert (row["auroc_low"], row["auroc_high"]) == (again.low, again.high)
            assert row.pop("auroc_se") == again.se_examples
        for name in ("auroc_low", "auroc_high"):
            del row[name], earlier[name]
        assert row.pop("auroc_se_fit") >= 0
        row.pop("over_seeds", None)
        for now, before in zip(row["beaten_by"], earlier["beaten_by"], strict=True):
            # with the fit's part of the error, a lead can only become less significant
            assert before.pop("beyond_error") or not now["beyond_error"]
            del now["beyond_error"]
        assert row["provenance"].pop("unit") == "epoch"
        told = [note for note in row["provenance"]["notes"] if " is fitted to ID " not in note]
        fitted = [note for note in row["provenance"]["notes"] if note not in told]
        assert len(fitted) == row["scorer"].startswith("fisher")
        row["provenance"]["notes"] = told
        assert row["provenance"].pop("likelihood") == row.pop("likelihood") == "exact"
        earlier["provenance"]["notes"] += notes
        assert row == approximately(earlier)
    return bits


def test_only_bits_per_dimension_of_an_imported_store_are_computed(imported):
    """One pass for each checkpoint and draw; no training, and no other statistic."""
    done = bench("run", SUITE, "--display", "none")
    assert done.returncode == 0, done.stderr
    plan = bench("plan", SUITE).stdout
    assert plan.splitlines()[-1] == "48 cells, 0 of them new"
    results = json.loads((imported / "results" / "suite" / "results.json").read_text("utf-8"))
    for in_, out, ovl, earlier in compare_with_before(results["results"], []):
        assert 0 < in_ < 9
        assert 0 < out < 20
        assert ovl == pytest.approx(earlier, abs=0.1)
    again = bench("store", "import", OLDER / "store.zip")
    assert again.returncode == 0, again.stderr
    events = next((imported / "runs" / "suite").glob("*/events.jsonl")).read_text("utf-8")
    found = [json.loads(line) for line in events.splitlines()]
    assert not any(event["event"] == "EpochFinished" for event in found)
    jobs = [event["job"] for event in found if event["event"] == "JobFinished"]
    assert jobs
    assert all(": dequantised_log_prob of " in job for job in jobs)
    saved = imported / "results" / "suite"
    assert bench("compare", saved, SUITE, "--fail-on", "worse").returncode == 0


def test_a_report_of_an_older_store_says_that_bits_are_unknown(imported):
    done = bench("report", SUITE, "--format", "json")
    assert done.returncode == 0, done.stderr
    bits = compare_with_before(json.loads(done.stdout)["results"], [NOTE])
    assert {value for *now, _ in bits for value in now} == {None}
    shown = bench("report", SUITE)
    assert shown.returncode == 0, shown.stderr
    assert f"Note: {NOTE}" in " ".join(shown.stdout.split())
    assert not (imported / "runs").exists()


KEYS = {
    "flow on digits": "3b49d3ee8f82773f6646dde680aedcd3",
    "background on digits": "fecbcbb768702852ab19092f8b3290d3",
    "general on noise": "6db63478b3555fcc794eaf3a92657b59",
}


def test_keys_are_what_they_were(imported, tmp_path):
    """Train keys in full; of statistics those of the records in the archive, and new ones."""
    settings = settings_in(tmp_path)
    plan = plan_opened(load_suite(SUITE), settings, lambda event: None)
    assert {str(chain): plan.train_key(chain) for chain in plan.chains} == KEYS
    store = Store(settings.store)
    stored = plan.keys(store)
    jobs = [job for chain in plan.chains.values() for job in chain.jobs]
    keys = {stored.statistic_key(job) for job in jobs if job.statistic != "dequantised_log_prob"}
    with zipfile.ZipFile(OLDER / "store.zip") as archive:
        names = [name.split("/") for name in archive.namelist()]
    assert len(keys) == 60
    assert keys == {name[1] for name in names if name[0] == "statistics"}


def test_older_pins_hold(imported):
    done = bench("verify", SUITE, "--pins", OLDER / "pins.toml")
    assert (done.returncode, done.stdout) == (0, "48 of 48 pinned values hold\n"), done.stderr


def test_older_results_are_refused_by_their_version():
    done = bench("compare", OLDER / "results", SUITE)
    assert done.returncode == 2
    assert done.stderr == (
        f"bench: {OLDER / 'results'}: saved results of version 0, without results.npz; this is "
        "version 1: bench run SUITE saves the results again from stored statistics\n"
    )
