"""Times the report page: made of so many results, opened and sorted in a browser.

    uv run python benchmarks/report.py --rows 100000 [--groups 100] [--chromium /usr/bin/chromium]

The results are made up: random scores of so many groups a side, shared as those of a suite are.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from harness.expand import make_plan
from harness.metrics import delong
from harness.page import render_page
from harness.results import Result
from harness.runner import Outcome
from harness.store import Store
from harness.suite import load_suite

SUITE = """
title = "Made up"
[training.t]
[models]
{models}
[datasets]
{datasets}
[[comparisons]]
models = [{names}]
in = [{ins}]
out = "others"
epochs = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500]
group_sizes = [1, 2, 5, 10, 20]
scorers = ["log-likelihood", "typicality", "gradient-gaussian"]
"""


def suite_with(rows: int, folder: Path):
    """A suite of at least so many cells: ten data sets, each against the others."""
    count = -(-rows // (10 * 9 * 10 * 5 * 3))
    models = [f"model-{k}" for k in range(count)]
    sets = [f"set-{k}" for k in range(10)]
    quoted = ", ".join(f'"{name}"' for name in sets)
    path = folder / "made-up.toml"
    path.write_text(
        SUITE.format(
            models="\n".join(f'{name} = {{ plugin = "glow", training = "t" }}' for name in models),
            datasets="\n".join(f'{name} = {{ plugin = "digits" }}' for name in sets),
            names=", ".join(f'"{name}"' for name in models),
            ins=quoted,
        )
    )
    return load_suite(path)


def made_up(plan, groups: int) -> list[Result]:
    """A result for each cell; ID scores are shared by the cells of a row."""
    rng = np.random.default_rng(0)
    sides: dict[tuple, np.ndarray] = {}
    results = []
    for planned in plan.cells:
        cell = planned.cell
        key = (cell.model, cell.in_dataset, cell.scorer, cell.epoch, cell.group_size)
        if key not in sides:
            sides[key] = rng.normal(size=groups)
        out = rng.normal(rng.uniform(-0.5, 3), 1.2, size=groups)
        found = delong(sides[key], out)
        results.append(
            Result(
                cell,
                "ok",
                auroc=found.auroc,
                auroc_se=found.se,
                auroc_low=found.low,
                auroc_high=found.high,
                aupr=found.auroc,
                fpr95=1 - found.auroc,
                n_in=groups,
                n_out=groups,
                bits_per_dim_in=rng.uniform(2, 8),
                bits_per_dim_out=rng.uniform(2, 8),
                ovl=rng.uniform(),
                scores_in=sides[key],
                scores_out=out,
            )
        )
    return results


def in_browser(path: Path, chromium: str) -> None:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        start = time.perf_counter()
        driver.get(path.as_uri())
        print(f"open             {time.perf_counter() - start:6.2f} s")
        for key in ("auroc", "out", "epoch"):
            taken = driver.execute_script(
                "const t = performance.now();"
                f"document.querySelector('#cells [data-key={key}]').click();"
                "document.body.offsetHeight; return (performance.now() - t) / 1000;"
            )
            print(f"sort by {key:8} {taken:6.2f} s")
        taken = driver.execute_script(
            "const t = performance.now(); const s = document.getElementById('filter-scorer');"
            "s.value = '1'; s.dispatchEvent(new Event('change'));"
            "document.body.offsetHeight; return (performance.now() - t) / 1000;"
        )
        print(f"filter           {taken:6.2f} s")
    finally:
        driver.quit()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite = suite_with(asked.rows, folder)
        plan = make_plan(suite, {})
        results = made_up(plan, asked.groups)
        start = time.perf_counter()
        page = render_page(
            suite, Outcome(plan, results, []), Store(folder / "store"), arguments=["made-up.toml"]
        )
        print(f"rows             {len(results):6,}")
        print(f"make the page    {time.perf_counter() - start:6.2f} s")
        path = folder / "page.html"
        path.write_text(page, encoding="utf-8")
        print(f"size             {path.stat().st_size / 1e6:6.2f} MB")
        if Path(asked.chromium).exists():
            in_browser(path, asked.chromium)


if __name__ == "__main__":
    main()
