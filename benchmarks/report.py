"""Times reports of so many results, from the store and in a browser.

    uv run python benchmarks/report.py --rows 100000 [--chromium /usr/bin/chromium]

The store is made up (`stored.py`), in a folder that may be kept by `--folder` for the next time.
`bench report` scores all cells when it is first asked, and reads them back from then on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stored import fill, suite_with

from harness.settings import Settings

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


def in_browser(path: Path, chromium: str) -> None:
    """Open the page, sort it by several columns, filter it and open a cell."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_script_timeout(120)
    try:
        start = time.perf_counter()
        driver.get(path.as_uri())
        assert driver.execute_script("return 'ready' in document.documentElement.dataset")
        driver.execute_async_script(PAINTED)
        say("open", time.perf_counter() - start)
        for key in ("auroc", "out", "epoch"):
            step = f"document.querySelector('#cells [data-key={key}]').click();"
            say(f"sort by {key}", driver.execute_async_script(step_of(step)))
        choose = (
            "const select = document.getElementById('filter-scorer'); select.value = '1';"
            "select.dispatchEvent(new Event('change'));"
        )
        say("filter", driver.execute_async_script(step_of(choose)))
        click = "document.querySelector('#cells .auroc').click();"
        say("open a cell", driver.execute_async_script(step_of(click)))
    finally:
        driver.quit()


PAINTED = "const done = arguments[0]; requestAnimationFrame(() => setTimeout(done));"


def step_of(step: str) -> str:
    """A script that says how many seconds a step takes until it is painted."""
    return (
        "const done = arguments[0]; const begun = performance.now();"
        f"{step}"
        "requestAnimationFrame(() => setTimeout(() => done((performance.now() - begun) / 1000)));"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        suite = suite_with(asked.rows, folder)
        settings = Settings(store=folder / "store", data=folder / "data")
        if not settings.store.exists():
            fill(suite, settings)
        places = ["--store", str(settings.store), "--data", str(settings.data)]
        report = ["report", str(suite.path), *places]
        page = folder / "page.html"
        timed("bench report, first", *report)
        timed("bench report", *report)
        timed("bench report, csv", *report, "--format", "csv")
        timed("bench report, page", *report, "--html", str(page))
        print(f"{'size of the page':24} {page.stat().st_size / 1e6:7.2f} MB")
        if Path(asked.chromium).exists():
            in_browser(page, asked.chromium)


if __name__ == "__main__":
    main()
