"""The elements of a Slurm array, run by hand, preempted and killed at random moments.

    python tests/reliability/elements.py suites/quickstart.toml --rounds 10

runs the script of `bench run --executor slurm --dry-run` as four processes. In each round two get
the notice of Slurm (SIGUSR2), two are killed with their workers (SIGKILL), and all are started
again until each has ended by itself; the results must be those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

SPEC = importlib.util.spec_from_file_location("nodes", Path(__file__).with_name("nodes.py"))
nodes = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(nodes)

ELEMENTS = 4
FAULTS = (signal.SIGUSR2, signal.SIGUSR2, signal.SIGKILL, signal.SIGKILL)
SCONTROL = "#!/bin/sh\nexit 0\n"


def start(folder: Path, number: int) -> subprocess.Popen:
    """An element of the array, as Slurm starts it."""
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    names = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_JOB_ID": str(number), "PATH": path}
    with (folder / f"{number}.log").open("a") as log:
        command, env = ["bash", "array.sh"], {**os.environ, **names}
        return subprocess.Popen(
            command, cwd=folder, env=env, stdout=log, stderr=log, process_group=0
        )


def disturb(process: subprocess.Popen, fault: signal.Signals) -> int | None:
    """Give the notice to the shell alone, as Slurm does, or kill everything of an element."""
    if process.poll() is not None:
        return None
    if fault == signal.SIGKILL:
        os.killpg(process.pid, fault)
    else:
        process.send_signal(fault)
    return process.wait()


def run_round(folder: Path, source: random.Random, seconds: float) -> Counter:
    """Run the elements to their ends with a fault each; count how the disturbed ones ended."""
    elements = [start(folder, number + 1) for number in range(ELEMENTS)]
    ends: Counter = Counter()
    order = source.sample(range(ELEMENTS), ELEMENTS)
    for number, fault in zip(order, FAULTS, strict=True):
        log = folder / f"{number + 1}.log"
        while elements[number].poll() is None and "jobs to do" not in log.read_text():
            time.sleep(0.01)
        time.sleep(source.uniform(0, seconds / ELEMENTS))
        ends[fault.name, disturb(elements[number], fault)] += 1
        elements[number] = start(folder, number + 1)
    for element in elements:
        assert element.wait() == 0, (folder / "1.log").read_text()
    return ends


def main() -> None:
    """Compare every round with an undisturbed run, and say how the disturbed elements ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0, help="of work, for the faults")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    source = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        plain, options = Path(name) / "plain", ("--threads", "1", "--display", "none")
        plain.mkdir()
        command = ("run", str(arguments.suite), "--executor", "sequential", *options)
        assert nodes.bench(plain, *command, stdout=subprocess.DEVNULL).wait() == 0
        expected = nodes.results(plain, arguments.suite)
        for number in range(arguments.rounds):
            folder = Path(name) / f"round-{number}"
            folder.mkdir()
            (folder / "scontrol").write_text(SCONTROL)
            (folder / "scontrol").chmod(0o700)
            command = ("run", str(arguments.suite), "--executor", "slurm", "--dry-run")
            options = ("--workers", str(ELEMENTS), "--threads", "1")
            with (folder / "array.sh").open("w") as file:
                assert nodes.bench(folder, *command, *options, stdout=file).wait() == 0
            ends = run_round(folder, source, arguments.seconds)
            same = nodes.results(folder, arguments.suite) == expected
            print(f"round {number + 1}: {dict(ends)}: {'same' if same else 'OTHER'} results")
            if not same:
                sys.exit(1)


if __name__ == "__main__":
    main()
