"""Several runs on one store at the same time: each job is done once, all reports are the same.

    python tests/reliability/together.py suites/quickstart.toml --runs 8

With several suites, the runs take them in turns. `--kill` ends the first run that has trained an
epoch by SIGKILL: the others must take its work over.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

SPEC = importlib.util.spec_from_file_location("forked", Path(__file__).with_name("forked.py"))
forked = importlib.util.module_from_spec(SPEC)
sys.modules["forked"] = forked
SPEC.loader.exec_module(forked)


@dataclass
class Run:
    """A run with what it has told so far; `killed` is when it was killed."""

    process: forked.Running
    suite: Path
    events: list[tuple[float, dict]] = field(default_factory=list)
    table: str = ""
    status: int = 0
    killed: float | None = None

    def follow(self, kill: threading.Lock | None) -> None:
        """Read its events to the end; kill it at its first epoch if it gets the permission to."""
        for line in self.process.errors:
            if not line.startswith("{"):
                print(line, end="", file=sys.stderr)
                continue
            event = json.loads(line)
            self.events.append((time.monotonic(), event))
            if event["event"] == "EpochFinished" and kill and kill.acquire(blocking=False):
                os.kill(self.process.pid, signal.SIGKILL)
                self.killed = time.monotonic()
        self.table = self.process.output.read()
        self.status = self.process.wait()


def run_together(folder: Path, suites: list[Path], count: int, kill: bool, *options) -> list[Run]:
    """So many runs, begun at once and followed to their ends."""
    permission = threading.Lock() if kill else None
    runs = []
    for number in range(count):
        suite = suites[number % len(suites)].resolve()
        command = ("run", str(suite), "--display", "json", *options)
        runs.append(Run(forked.start(folder, *command), suite))
    threads = [threading.Thread(target=run.follow, args=(permission,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return runs


def times_done(runs: list[Run]) -> Counter:
    """How often each training epoch and each job was done, over all runs."""
    counts: Counter = Counter()
    for run in runs:
        for _, event in run.events:
            if event["event"] == "EpochFinished":
                chain = (event["model"], event["dataset"], event["seed"])
                counts["train", chain, event["epoch"]] += 1
            elif event["event"] == "JobFinished":
                counts["store", event["task"], event["job"]] += 1
    return counts


def problems(runs: list[Run]) -> list[str]:
    """What is not as it should be; what the killed run had begun may be done twice."""
    found = []
    killed = [run for run in runs if run.killed]
    excused = len(killed)
    for run in runs:
        if run not in killed and run.status != 0:
            found.append(f"a run ended with {run.status}")
    twice = {key: n for key, n in times_done(runs).items() if n > 1}
    if len(twice) > excused or any(n > 2 for n in twice.values()):
        found.append(f"done more than once: {twice}")
    for suite in {run.suite for run in runs}:
        tables = {run.table for run in runs if run.suite == suite and not run.killed}
        if len(tables) > 1:
            found.append(f"{len(tables)} different tables of {suite}")
    return found


def takeover_seconds(runs: list[Run]) -> float | None:
    """From the kill to the next epoch of the same chain in another run."""
    for run in runs:
        if run.killed:
            chain = run.events[-1][1].get("task")
            later = [
                moment - run.killed
                for other in runs
                for moment, event in other.events
                if event["event"] == "StepStarted"
                and event["task"] == chain
                and moment > run.killed
            ]
            return min(later, default=None)
    return None


def main() -> None:
    """Run, count and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", type=Path, nargs="+")
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--workers", default="1", help="of each run")
    parser.add_argument("--kill", action="store_true")
    arguments = parser.parse_args()
    forked.preload()
    with tempfile.TemporaryDirectory() as name:
        started = time.monotonic()
        options = ("--workers", arguments.workers, "--threads", "1")
        runs = run_together(Path(name), arguments.suites, arguments.runs, arguments.kill, *options)
        seconds = time.monotonic() - started
    counts = times_done(runs)
    epochs = sum(key[0] == "train" for key in counts)
    print(f"{len(runs)} runs in {seconds:.0f} s: {epochs} epochs trained, ", end="")
    print(f"{len(counts) - epochs} checkpoints and statistics stored")
    for run in runs:
        share = times_done([run])
        trained = sum(n for key, n in share.items() if key[0] == "train")
        end = "killed" if run.killed else f"exit {run.status}"
        print(f"  {run.suite.name}: {trained} epochs, {share.total() - trained} jobs, {end}")
    if arguments.kill:
        seconds = takeover_seconds(runs)
        print("not taken over" if seconds is None else f"taken over after {seconds:.1f} s")
    found = problems(runs)
    print("\n".join(found) or "each job once, all tables the same")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
