"""What `bench` adds to the work of plugins, and how workers divide it.

    uv run python benchmarks/scheduling.py jobs
    uv run python benchmarks/scheduling.py workers --seconds 60
    uv run python benchmarks/scheduling.py simulation

`jobs` stores statistics that cost nothing (`idle.py`): time per stored job, in this process, with
and without waits for the disk; and file-system calls per job, counted by strace. `workers` runs
eight `bench work` on eight trainings that sleep, and compares the wall time with an eighth of the
sum; the processes are forked from this one, so none imports torch. `simulation` extrapolates to
1,000 workers (`queueing.py`).
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

from benchmarks.queueing import simulate_all
from harness import events
from harness.cli import main as bench
from harness.compute.workers.worker import Worker
from harness.run.prepare import plan_opened
from harness.settings import Settings, Share
from harness.store.clock import now_at
from harness.suite import load_suite

IDLE = Path(__file__).with_name("idle.py").resolve()
BENCH = [sys.executable, "-m", "oodbench"]
SETS, ROUNDS = 5, 5
STEPS = 2
"""Steps of an epoch: 128 examples in minibatches of 64."""
SUITE = """
plugins.paths = ["{idle}"]
[training.brief]
minibatch = 64
[models]
{models}
[statistics.level]
plugin = "level"
options = {{ seconds = {seconds} }}
[datasets]
{sets}
[[comparisons]]
models = [{names}]
in = "set-0"
out = "others"
epochs = {epochs}
scorers = "by-level"
n_in = 30
n_fit = 30
n_out = 30
"""
MODEL = (
    'model-{0} = {{ plugin = "idle", training = "brief", '
    "options = {{ number = {0}, seconds_per_step = {1} }} }}"
)
NOISE = (
    'set-{0} = {{ plugin = "noise", options = '
    "{{ channels = 1, height = 8, width = 8, n_train = 128, n_test = 80, seed = {0} }} }}"
)


def write_suite(folder: Path, models: int, epochs: list[int], step: float, call: float) -> Path:
    """Write a suite of models that sleep in each training step and each call of a statistic."""
    path = folder / "idle.toml"
    text = SUITE.format(
        idle=IDLE,
        models="\n".join(MODEL.format(number, step) for number in range(models)),
        sets="\n".join(NOISE.format(number) for number in range(SETS)),
        names=", ".join(f'"model-{number}"' for number in range(models)),
        epochs=epochs,
        seconds=call,
    )
    path.write_text(text)
    return path


def store_once(epochs: int) -> tuple[float, float, int]:
    """Store the statistics of several epochs; return wall and processor time, and the jobs."""
    clocks: list[tuple[float, float]] = []
    jobs = 0

    def follow(event: events.Event) -> None:
        nonlocal jobs
        if isinstance(event, events.WorkTaken) and "," in event.task and not clocks:
            clocks.append((time.perf_counter(), time.process_time()))
        jobs += bool(clocks) and isinstance(event, events.JobFinished)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite = load_suite(write_suite(folder, 1, list(range(epochs)), 0, 0))
        settings = Settings(folder / "store", folder / "data", "cpu", workers=1, threads=1)
        plan = plan_opened(suite, settings, lambda event: None)
        worker = Worker(0, Share(), plan, settings, 1, now_at(settings.store))
        worker.work(follow, lambda: False, until_done=False)
        ((wall, processor),) = clocks
        return time.perf_counter() - wall, time.process_time() - processor, jobs


def sync_seconds() -> float:
    """Return the time that this disk takes to sync a small new file."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(500))
        file.flush()
        start = time.perf_counter()
        os.fsync(file.fileno())
        return time.perf_counter() - start


def measure_jobs(epochs: int) -> None:
    """Print the time per stored job, with and without waits for the disk in turns."""
    store_once(1)
    found: dict[str, list[tuple[float, float]]] = {"synced": [], "not synced": []}
    syncs = []
    for _ in range(ROUNDS):
        syncs.append(sync_seconds())
        for kind, times in found.items():
            no_wait = patch.object(os, "fsync", lambda descriptor: None)
            with nullcontext() if kind == "synced" else no_wait:
                wall, processor, jobs = store_once(epochs)
            times.append((1e3 * wall / jobs, 1e3 * processor / jobs))
    for kind, times in found.items():
        wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{kind:10}: {wall:6.2f} ms per stored job, {processor:.2f} ms of processor time")
    print(f"a sync of a small file: {1e3 * statistics.median(syncs):.2f} ms; {jobs} jobs a round")


def count_calls(few: int, many: int) -> None:
    """Print the file-system calls that a further job costs, at first and once it is stored."""
    if shutil.which("strace") is None:
        print("file-system calls are counted by strace, which is not installed")
        return
    counted = []
    for epochs in (few, many):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            suite = write_suite(folder, 1, list(range(epochs)), 0, 0)
            first, second = _traced(folder, suite), _traced(folder, suite)
            jobs = len(list((folder / "store/statistics").iterdir()))
            counted.append((jobs, first, second))
    (less, *before), (more, *after) = counted
    for what, low, high in zip(("to store a job", "to look at it"), before, after, strict=True):
        calls = {name: (high[name] - low[name]) / (more - less) for name in high}
        print(f"{what}: {sum(calls.values()):.1f} file-system calls")
        often = sorted((-count, name) for name, count in calls.items() if count >= 0.1)
        print("   ", ", ".join(f"{name} {-count:.1f}" for count, name in often))


def _traced(folder: Path, suite: Path) -> dict[str, int]:
    """Run `bench work` under strace; count its calls that name a file below a folder, or sync."""
    calls = folder / "calls"
    trace = ["strace", "-f", "-e", "trace=%file,fsync", "-o", str(calls)]
    subprocess.run([*trace, *BENCH, *_work(folder, suite)], stdout=subprocess.DEVNULL, check=True)
    named = rf'^\d+ +(?:(fsync)\(|(\w+)\((?:AT_FDCWD, )?"{re.escape(str(folder))}/)'
    return Counter(map("".join, re.findall(named, calls.read_text(), re.M)))


def _work(folder: Path, suite: Path, *options: str) -> list[str]:
    """Return the arguments of `bench` for a worker."""
    places = ["--store", str(folder / "store"), "--data", str(folder / "data")]
    also = ["--threads", "1", "--device", "cpu", "--display", "none"]
    return ["work", str(suite), *places, *also, *options]


def _forked(folder: Path, suite: Path, *options: str) -> int:
    """Start a worker in a copy of this process; return the number of the process."""
    child = os.fork()
    if child == 0:
        sys.argv = ["bench", *_work(folder, suite, *options)]
        sys.stdout = open(os.devnull, "w")
        status: object = 1
        try:
            bench()
        except SystemExit as end:
            status = end.code
        finally:
            os._exit(status if isinstance(status, int) else int(status is not None))
    return child


def measure_workers(workers: int, seconds: float) -> None:
    """Print the wall time of so many workers on as many trainings, and what each has trained."""
    store_once(1)  # imports what workers need
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # half of the time in two epochs of training, half in the statistics of three epochs
        suite = write_suite(folder, workers, [0, 1, 2], seconds / 4 / STEPS, 0)
        plan = plan_opened(load_suite(suite), Settings(folder, folder / "data"), lambda _: None)
        calls = sum(job.statistic == "level" for x in plan.chains.values() for job in x.jobs)
        call = workers * seconds / 2 / calls
        suite = write_suite(folder, workers, [0, 1, 2], seconds / 4 / STEPS, call)
        start = time.monotonic()
        shares = [f"{number + 1}/{workers}" for number in range(workers)]
        forked = [_forked(folder, suite, "--until-done", "--share", share) for share in shares]
        statuses = {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in forked}
        wall = time.monotonic() - start
        trained = [_trainings(path) for path in (folder / "store/runs/idle").glob("*/*.jsonl")]
    print(f"{workers} workers on as many trainings with {seconds:.0f} s of work each: ", end="")
    print(f"{wall:.1f} s, {wall / seconds:.2f} times the sum over {workers}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = (used.ru_utime + used.ru_stime) / workers
    print(f"trainings by worker: {sorted(trained)}, exit statuses {statuses}, ", end="")
    print(f"{processor:.1f} s of processor time each")


def _trainings(log: Path) -> int:
    """Count the trainings that a worker took."""
    return len(re.findall(r'"WorkTaken", "task": "model-\d+ on set-0",', log.read_text()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("jobs", "workers", "simulation"))
    parser.add_argument("--epochs", type=int, default=12, help="of the suite of `jobs`")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0, help="of work for each worker")
    asked = parser.parse_args()
    if asked.part == "jobs":
        measure_jobs(asked.epochs)
        count_calls(2, asked.epochs)
    elif asked.part == "workers":
        measure_workers(asked.workers, asked.seconds)
    else:
        simulate_all()


if __name__ == "__main__":
    main()
