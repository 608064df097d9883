"""SIGINT at many moments after the start of a run; the run must end at once, and well.

    python tests/reliability/interrupts.py --count 60 --seconds 2

A run of a tiny suite is interrupted, and started again in the same folder. Moments are counted
from the first line of ours: an interrupt while Python itself starts ends Python in its own way.
Each run must end with status 130 and one line, without a traceback, and leave a store without
damage. Prints how the runs ended, and the longest time to the end.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

SUITE = """
[training.brief]
learning_rate = 1e-3
minibatch = 64
examples = 256

[models.flow]
plugin = "glow"
options = { levels = 1, steps = 1, width = 4 }
training = "brief"

[datasets.digits]
plugin = "digits"

[datasets.noise]
plugin = "noise"
options = { n_train = 10, n_test = 40 }

[[comparisons]]
models = "flow"
in = "digits"
out = "noise"
epochs = [0, 2, 400]
scorers = ["log-likelihood", "gradient-gaussian"]
n_in = 30
n_fit = 30
n_out = 30
"""
BENCH = """
import os, sys

def tell(event, arguments):
    if event == "import" and arguments[0] == "oodbench._streams":
        os.write(1, b"begun")  # handlers of interrupts have just been set

sys.addaudithook(tell)
sys.argv[0] = "bench"
from oodbench._start import main
main()
"""
ENDINGS = ("interrupted before any work began", "interrupted; to resume: bench run suite.toml")
PATIENCE = 30
"""Longest time to the end, in seconds; a run that has not heard would go on for minutes."""


def interrupted(folder: Path, seconds: float) -> tuple[str, float]:
    """Interrupt a run some seconds after its first line; how it ended, and how long that took.

    Raises:
        AssertionError: The run ended in another way, or has damaged the store.
    """
    command = [sys.executable, "-P", "-c", BENCH, "run", "suite.toml", "--display", "none"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"BENCH_STORE": "store", "BENCH_DATA": "data"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # all processes hear it, as of Ctrl-C on a terminal
    )
    try:
        assert process.stdout.read(5) == b"begun"
        time.sleep(seconds)
        sent = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    took = time.monotonic() - sent
    text = errors.decode()
    assert process.returncode == 130, (process.returncode, text)
    assert output == b"", output
    found = re.fullmatch(r"\n(.*?)( --display none)?\n", text)
    assert found, text
    assert found.group(1) in ENDINGS, text
    if (folder / "store").exists():
        checked = subprocess.run(
            [sys.executable, "-m", "oodbench", "store", "fsck", "--store", str(folder / "store")],
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
    return found.group(1), took


def main() -> None:
    """Interrupt runs as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=2.0)
    asked = parser.parse_args()
    endings, longest = Counter(), 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suite.toml").write_text(SUITE)
        for number in range(asked.count):
            ending, took = interrupted(folder, asked.seconds * number / max(asked.count - 1, 1))
            endings[ending] += 1
            longest = max(longest, took)
    print("\n".join(f"{times} x {ending}" for ending, times in endings.items()))
    print(f"the longest took {longest:.2f} s to end")


if __name__ == "__main__":
    main()
