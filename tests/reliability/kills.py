"""Runs of a suite that are killed at random moments and started again.

    python tests/reliability/kills.py SUITE --kills 20

kills a run so many times, lets the last one finish, and compares its report with that of an
undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCH = [sys.executable, "-m", "oodbench"]


def bench(folder: Path, *arguments: str, **options):
    """`bench` with a store and data folder of its own."""
    env = {**os.environ, "BENCH_STORE": str(folder / "store"), "BENCH_DATA": str(folder / "data")}
    return subprocess.Popen(
        [*BENCH, *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def finished(process) -> str:
    """The output of a process that must succeed."""
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def report(folder: Path, suite: Path) -> dict:
    """The results of a suite; provenance holds no times, so all of it counts."""
    return json.loads(finished(bench(folder, "report", str(suite), "--format", "json")))


def disturbed_run(folder: Path, suite: Path, kills: int, seconds: float, seed: int) -> list[float]:
    """Kill a run `kills` times within about `seconds` of work, then let it finish."""
    source = random.Random(seed)
    moments = []
    for _ in range(kills):
        process = bench(folder, "run", str(suite), "--display", "none")
        moment = source.uniform(0.2, seconds)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()  # the run alone: its workers must notice
            process.communicate()
            moments.append(moment)
    finished(bench(folder, "run", str(suite), "--display", "none"))
    return moments


def main() -> None:
    """Compare a disturbed run with an undisturbed one, and say what was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        finished(bench(folder / "a", "run", str(arguments.suite)))
        seconds = time.monotonic() - started
        print(f"undisturbed: {seconds:.0f} s", flush=True)
        moments = disturbed_run(
            folder / "b", arguments.suite, arguments.kills, seconds / 3, arguments.seed
        )
        shown = ", ".join(f"{moment:.1f}" for moment in moments)
        print(f"killed {len(moments)} times, after seconds: {shown}")
        same = report(folder / "a", arguments.suite) == report(folder / "b", arguments.suite)
        print("same report" if same else "DIFFERENT REPORT")
        sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
