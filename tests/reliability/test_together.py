"""Runs that share a store do each job once and agree; a killed one's work is taken over."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forked processes")
def test_overlapping_suites_share_their_work_and_take_over_that_of_a_killed_run(tiny_suite):
    text = tiny_suite.read_text().replace("[1, 5]", "[1]")
    text = text.replace("n_train = 10, n_test = 40", "n_train = 64, n_test = 80")
    text = text.replace('\nin = "digits"', '\nin = ["digits", "noise"]')
    tiny_suite.write_text(text.replace("[0, 2]", "[0, 3, 6]"))
    part = tiny_suite.with_name("part.toml")
    part.write_text(text.replace("[0, 2]", "[0, 3, 6]").replace('"typicality", ', ""))
    script = Path(__file__).with_name("together.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tiny_suite), str(part), "--runs", "3", "--kill"],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^3 runs in \d+ s: 12 epochs trained, ", done.stdout, re.M)  # of two chains
    assert len(re.findall(r"killed$", done.stdout, re.M)) == 1
    assert len(re.findall(r"exit 0$", done.stdout, re.M)) == 2
    assert done.stdout.endswith("each job once, all tables the same\n")
