"""Write the table of changes of the study of representation from its stored results.

    python scripts/representation.py --store STORE --data DATA

`docs/snippets/study-representation-changes.md` gets a row for each score of models trained on
mapped pictures, beside those trained on the pictures as they are. The test is that of `bench
compare` for models trained separately, which refuses to compare data sets of other contents; here
the scored examples are the same pictures in the same order.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from harness.metrics.multiple import holm
from harness.metrics.paired import Difference, compared
from harness.regression.runs import load_run
from harness.results import Cell, Result
from harness.settings import Settings

ROOT = Path(__file__).parent.parent
SUITE = ROOT / "suites" / "studies" / "representation.toml"
PAGE = ROOT / "docs" / "snippets" / "study-representation-changes.md"


class Change(NamedTuple):
    """A score of mapped pictures beside the score of the same pictures as they are."""

    cell: Cell
    map: str
    plain: list[Result]
    mapped: list[Result]
    test: Difference


def changes(results: dict[Cell, Result]) -> Iterator[Change]:
    """Test every score at the last epoch; a mapped data set is named PLAIN-MAP."""
    last: dict[str, int] = {}
    for cell in results:
        last[cell.model] = max(cell.epoch, last.get(cell.model, 0))
    places: dict[Cell, list[Result]] = {}
    for cell, result in results.items():
        if cell.epoch == last[cell.model]:
            places.setdefault(cell._replace(seed=0), []).append(result)
    for cell, mapped in places.items():
        in_, _, name = cell.in_dataset.rpartition("-")
        out = cell.out_dataset.removesuffix(f"-{name}")
        plain = places.get(cell._replace(in_dataset=in_, out_dataset=out), [])
        if plain and (test := compared(mapped, plain, "separate")):
            yield Change(cell, name, plain, mapped, test)


def row(change: Change, p_value: float) -> str:
    """Format a row: both means, the values of each training, the difference and its p-value."""
    cell, test = change.cell, change.test
    sides = [
        f"{fmean(values):.3f} ({', '.join(f'{value:.2f}' for value in sorted(values))})"
        for values in map(aurocs, (change.plain, change.mapped))
    ]
    difference = f"{test.difference:+.3f} [{test.low:+.3f}, {test.high:+.3f}]"
    names = [cell.in_dataset, cell.scorer, str(cell.group_size)]
    return f"| {' | '.join([*names, *sides, difference, f'{p_value:.3f}'])} |\n"


def aurocs(results: list[Result]) -> list[float]:
    """Return the AUROC of each training."""
    return [result.metrics.auroc for result in results if result.metrics]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", required=True, type=Path, help="Store with the results.")
    parser.add_argument("--data", required=True, type=Path, help="Data folder.")
    asked = parser.parse_args()
    run = load_run(str(SUITE), [], Settings(store=asked.store, data=asked.data), [])
    found = list(changes(run.results))
    corrected = holm([1.0 if (p := change.test.p_value) is None else p for change in found])
    head = ["ID", "score", "b", "as they are", "mapped", "difference [95 %]", "p, corrected"]
    lines = [f"| {' | '.join(head)} |\n", f"|{' --- |' * len(head)}\n"]
    lines += map(row, found, corrected)
    PAGE.write_text("".join(lines))


if __name__ == "__main__":
    main()
