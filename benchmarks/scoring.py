"""Times the scoring of a suite from stored statistics, also beside another checkout.

    uv run bench run suites/rivals.toml
    uv run python benchmarks/scoring.py suites/rivals.toml
    uv run python benchmarks/scoring.py suites/rivals.toml --beside ../older

Cells whose statistics are not stored are left out. Each repetition is a process of its own with a
single thread; two checkouts take turns. The other checkout needs its own environment (`uv sync`),
and must know the suite. CPU time is the user's and the system's, without the import of the
libraries; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness.settings import default_data, default_store

HERE = Path(__file__).resolve().parents[1]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def score(suite: Path, store: Path, data: Path) -> None:
    """Score the suite with the `harness` that this process imports; print seconds and cells."""
    import sklearn.ensemble
    import sklearn.svm  # noqa: F401

    from harness.run.prepare import plan_opened
    from harness.scoring.score import score_plan
    from harness.settings import Settings
    from harness.store.records import Store
    from harness.suite import load_suite

    plan = plan_opened(load_suite(suite), Settings(store=store, data=data), lambda event: None)
    start, start_wall = time.process_time(), time.perf_counter()
    found = score_plan(plan, Store(store), lambda result: None)
    cpu, wall = time.process_time() - start, time.perf_counter() - start_wall
    print(cpu, wall, sum(result.status == "ok" for result in found.results))


def timed(checkout: Path, asked: argparse.Namespace) -> list[float]:
    """Run `score` in a process with the code of a checkout."""
    python = checkout / ".venv" / "bin" / "python"
    places = ["--store", asked.store.resolve(), "--data", asked.data.resolve()]
    done = subprocess.run(
        [python if python.exists() else sys.executable, __file__, asked.suite, *places, "--once"],
        env=os.environ | ONE_THREAD | {"PYTHONPATH": str(checkout)},
        cwd=checkout,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()[-3:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", type=Path, help="path inside each checkout, or absolute")
    parser.add_argument("--store", type=Path, default=default_store())
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--beside", type=Path, help="folder with another checkout")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.once:
        score(asked.suite, asked.store, asked.data)
        return
    checkouts = [HERE] + ([asked.beside.resolve()] if asked.beside else [])
    found: dict[Path, list[list[float]]] = {checkout: [] for checkout in checkouts}
    for _ in range(asked.repetitions):
        for checkout in checkouts:
            found[checkout].append(timed(checkout, asked))
    middles = []
    for checkout, runs in found.items():
        cpu, wall, cells = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{checkout}: {cells:,.0f} cells, {cpu:.2f} s of CPU time, {wall:.2f} s on the wall")
        middles.append(cpu)
    if asked.beside:
        print(f"CPU time relative to {asked.beside}: {middles[0] / middles[1]:.2f}")


if __name__ == "__main__":
    main()
