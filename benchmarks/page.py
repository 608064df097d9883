"""Times a report page of so many cells: how it is made, and how a browser opens and sorts it.

    uv run python benchmarks/page.py --rows 108000 [--chromium /usr/bin/chromium]

The store is made up (`stored.py`), in a folder that `--folder` keeps for the next time. One model
and ID set are scored; the cells of all others show the same numbers under their own names.
In the browser, CPU seconds are those of the main thread of the page.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from stored import filled

from harness.plan.plan import Plan
from harness.report.looks import looks
from harness.report.page import render_page
from harness.results import Cell, Result
from harness.run.outcome import Outcome, score_stored
from harness.run.prepare import plan_unopened
from harness.settings import Settings
from harness.store.records import Store
from harness.suite import ResolvedSuite
from harness.suite.selection import parse_selection

PAINTED = "const done = arguments[0]; requestAnimationFrame(() => setTimeout(done));"
SCORED = "model-0", "set-0"
STEPS = {
    "sort by AUROC": "document.querySelector('#cells [data-key=auroc]').click();",
    "sort by OOD set": "document.querySelector('#cells [data-key=out]').click();",
    "sort by epoch": "document.querySelector('#cells [data-key=epoch]').click();",
    "filter": "const select = document.getElementById('filter-scorer'); select.value = '1';"
    "select.dispatchEvent(new Event('change'));",
    "open a cell": "document.querySelector('#cells .auroc').click();",
}


def outcome_of(suite: ResolvedSuite, settings: Settings) -> Outcome:
    """Results of all cells, of which those of one model and ID set are scored."""
    plan = plan_unopened(suite, settings)
    only = [f"{key}={name}" for key, name in zip(("model", "in"), SCORED, strict=True)]
    part = replace(plan, cells=_selected(plan, only))
    scored = {x.cell: x for x in score_stored(part, settings, lambda event: None).results}
    results = [_copy(item.cell, scored) for item in plan.cells]
    return Outcome(plan, results, [])


def _selected(plan: Plan, only: list[str]):
    taken = parse_selection(only, [item.cell for item in plan.cells])
    return [item for item in plan.cells if taken.selects(item.cell)]


def _copy(cell: Cell, scored: dict[Cell, Result]) -> Result:
    """The result of the scored model and ID set for the OOD set that lies as many places on.

    Numbers move a little, so that as many are distinct as in a run.
    """
    places = [int(name.removeprefix("set-")) for name in (cell.out_dataset, cell.in_dataset)]
    out = f"set-{(places[0] - places[1]) % 10}"
    model, in_dataset = SCORED
    own = cell._replace(model=model, in_dataset=in_dataset, out_dataset=out)
    found = scored[own]
    assert found.metrics is not None, "made-up statistics have scores"
    moved = {
        name: value + 1e-3 * zlib.crc32(repr((name, _where(name, cell))).encode()) / 2**32
        for name, value in found.metrics._asdict().items()
        if isinstance(value, float) and value
    }
    return replace(found, cell=cell, metrics=found.metrics._replace(**moved))


def _where(name: str, cell: Cell) -> tuple[object, ...]:
    """What a number depends on: bits per dimension on neither scorer nor group size."""
    if not name.startswith(("bits", "ovl")) or name == "ovl_scores":
        return cell
    out = "" if name.endswith("_in") else cell.out_dataset
    return cell.model, cell.in_dataset, out, cell.epoch


@dataclass
class Clock:
    """A browser, with the time of its steps."""

    driver: webdriver.Chrome

    def cpu(self) -> float:
        """CPU seconds of the main thread of the page."""
        found = self.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return next(one["value"] for one in found if one["name"] == "TaskDuration")

    def say(self, name: str, step: str) -> None:
        """Do a step, and print how long it took until it was painted."""
        start, before = time.perf_counter(), self.cpu()
        self.driver.execute_script(step)
        self.driver.execute_async_script(PAINTED)
        say(name, time.perf_counter() - start, self.cpu() - before)


def say(name: str, seconds: float, cpu: float) -> None:
    """Print how long something took."""
    print(f"{name:24} {seconds:7.2f} s, {cpu:7.2f} s of CPU", flush=True)


@contextmanager
def browser(chromium: str) -> Iterator[webdriver.Chrome]:
    """A browser without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_script_timeout(120)
    try:
        yield driver
    finally:
        driver.quit()


def in_browser(path: Path, chromium: str) -> None:
    """Open the page, sort it by several columns, filter it, open a cell and follow its link."""
    with browser(chromium) as driver:
        driver.get(path.with_name("empty.html").as_uri())  # starts the process of the page
        driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        clock = Clock(driver)
        start, before = time.perf_counter(), clock.cpu()
        driver.get(path.as_uri())
        assert driver.execute_script("return 'ready' in document.documentElement.dataset")
        driver.execute_async_script(PAINTED)
        say("open", time.perf_counter() - start, clock.cpu() - before)
        for name, step in STEPS.items():
            clock.say(name, step)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=108_000)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with filled(asked.rows, asked.folder) as (suite, settings):
        outcome = outcome_of(suite, settings)
        start, before = time.perf_counter(), time.process_time()
        page = render_page(
            suite,
            outcome,
            Store(settings.store),
            arguments=[str(suite.path)],
            looks=looks(outcome.plan, outcome.results),
        )
        say("make the page", time.perf_counter() - start, time.process_time() - before)
        path = suite.path.with_name("page.html")
        path.write_text(page, encoding="utf-8")
        path.with_name("empty.html").write_text("<title>Empty</title>", encoding="utf-8")
        print(f"{'size of the page':24} {path.stat().st_size / 1e6:7.2f} MB")
        in_browser(path, asked.chromium)


if __name__ == "__main__":
    main()
