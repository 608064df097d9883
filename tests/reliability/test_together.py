"""Runs that share a store do each job once and agree; a killed one's work is taken over."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SPEC = importlib.util.spec_from_file_location("together", Path(__file__).with_name("together.py"))
together = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(together)


def test_overlapping_suites_share_their_work_and_take_over_that_of_a_killed_run(
    tiny_suite, tmp_path
):
    text = tiny_suite.read_text().replace("[1, 5]", "[1]").replace('"digits"\nout', '"X"\nout')
    text = text.replace('in = "X"', 'in = ["digits", "noise"]').replace(
        "n_train = 10", "n_train = 64"
    )
    tiny_suite.write_text(text.replace("[0, 2]", "[0, 3, 6]"))
    part = tiny_suite.with_name("part.toml")
    part.write_text(text.replace("[0, 2]", "[0, 6]").replace('"typicality", ', ""))
    options = ("--workers", "1", "--threads", "1")
    runs = together.run_together(tmp_path / "x", [tiny_suite, part], 3, True, *options)
    assert together.problems(runs) == []
    assert sum(run.killed is not None for run in runs) == 1
    done = together.times_done(runs)
    trained = [key for key in done if key[0] == "train"]
    assert len(trained) == 2 * 6  # two chains of six epochs
    assert together.takeover_seconds(runs) < 5
