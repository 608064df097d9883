"""A Ray cluster of three nodes gives the results of a run without Ray, also if a node dies."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_results_are_the_same_although_a_node_dies(tiny_suite):
    pytest.importorskip("ray")
    text = tiny_suite.read_text().replace("examples = 256\n", "")
    tiny_suite.write_text(text.replace("[0, 2]", "[0, 2, 8]"))
    script = Path(__file__).with_name("nodes.py")
    command = [sys.executable, script, tiny_suite, "--removals", "1", "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^1 nodes removed in \d+ s: same results$", done.stdout, re.M)
