"""A few interrupts soon after the start; `interrupts.py` tries as many as one likes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="all processes of a run are interrupted")
def test_interrupts_soon_after_the_start_are_heard():
    script = Path(__file__).with_name("interrupts.py")
    numbers = ["--count", "7", "--seconds", "1.8"]
    done = subprocess.run(
        [sys.executable, str(script), *numbers], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(map(int, re.findall(r"^(\d+) x interrupted", done.stdout, re.M))) == 7
