"""A run that is killed at random moments ends with the results of an undisturbed one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SPEC = importlib.util.spec_from_file_location("kills", Path(__file__).with_name("kills.py"))
kills = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(kills)


def test_killed_runs_end_with_the_same_report(tiny_suite, tmp_path):
    suite = tiny_suite
    suite.write_text(suite.read_text().replace("[0, 2]", "[0, 1, 2, 3, 4, 5]"))
    kills.finished(kills.bench(tmp_path / "a", "run", str(suite)))
    kills.disturbed_run(tmp_path / "b", suite, kills=4, seconds=12, seed=1)
    assert kills.report(tmp_path / "a", suite) == kills.report(tmp_path / "b", suite)
