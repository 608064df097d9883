"""Times reports of so many results; `page.py` times their page in a browser.

    uv run python benchmarks/report.py --rows 100000

The store is made up (`stored.py`), in a folder that may be kept by `--folder` for the next time.
`bench report` scores all cells when it is first asked, and reads them back from then on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from stored import filled

BENCH = [sys.executable, "-m", "oodbench"]


def say(name: str, seconds: float, more: str = "") -> None:
    """Print how long a step took, as soon as it is known."""
    print(f"{name:24} {seconds:7.2f} s{more}", flush=True)


def timed(name: str, *arguments: str) -> None:
    """Run `bench` and say how long it took."""
    start = time.perf_counter()
    done = subprocess.run([*BENCH, *arguments], capture_output=True, text=True, check=True)
    taken = time.perf_counter() - start
    say(name, taken, f"   {len(done.stdout.encode()) / 1e6:6.2f} MB of text")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with filled(asked.rows, asked.folder) as (suite, settings):
        places = ["--store", str(settings.store), "--data", str(settings.data)]
        report = ["report", str(suite.path), *places]
        page = suite.path.with_name("page.html")
        timed("bench report, first", *report)
        timed("bench report", *report)
        timed("bench report, csv", *report, "--format", "csv")
        timed("bench report, page", *report, "--html", str(page))
        print(f"{'size of the page':24} {page.stat().st_size / 1e6:7.2f} MB")


if __name__ == "__main__":
    main()
