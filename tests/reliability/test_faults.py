"""A few faults of each kind; `faults.py` tries hundreds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="faults strike forked processes")
def test_what_follows_a_fault_is_what_an_undisturbed_run_gives(tmp_path):
    script = Path(__file__).with_name("faults.py")
    numbers = ["--kills", "8", "--corruptions", "8", "--others", "1", "--seed", "1"]
    done = subprocess.run(
        [sys.executable, str(script), *numbers, "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (kills, corruptions, others, wrong) = re.search(
        r"^(\d+) kills, (\d+) corruptions, (\d+) faults in all; (\d+) wrong$", done.stdout, re.M
    ).groups()
    assert int(kills) >= 8
    assert int(corruptions) == 8
    assert int(others) >= 8 + 8 + 5
    assert int(wrong) == 0
    assert re.search(r"^(bit flipped|cut short|emptied|gone) +store/", done.stdout, re.M)
