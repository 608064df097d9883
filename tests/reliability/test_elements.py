"""Elements of a Slurm array that are preempted and killed give the results of a quiet run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_preempted_and_killed_elements_give_the_same_results(tiny_suite):
    text = tiny_suite.read_text().replace("examples = 256\n", "")
    tiny_suite.write_text(text.replace("[0, 2]", "[0, 2, 8]\nseeds = [0, 1]"))
    script = Path(__file__).with_name("elements.py")
    command = [sys.executable, script, tiny_suite, "--rounds", "1", "--seconds", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(": same results\n")
