"""Interrupts in a process of its own."""

from __future__ import annotations

import subprocess
import sys

SLOW_END = """
import sys, time
from harness.cli.interrupts import Interrupts

class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.5)

slow = Slow()  # deleted after Python has removed its signal handlers
interrupts = Interrupts()
interrupts.were_heard = True  # with no time left, so that the timer is the shortest
interrupts.stop()
sys.exit(130)
"""


def test_a_slow_end_of_python_keeps_the_exit_status():
    assert subprocess.run([sys.executable, "-c", SLOW_END], check=False).returncode == 130
