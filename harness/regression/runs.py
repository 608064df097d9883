"""Runs by name: a suite, scored from what is stored, or the results that a run kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BenchError, NothingSelectedError
from harness.results import Cell, Result
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.run.saved import FILE, FOR_PEOPLE, read_results
from harness.settings import Settings
from harness.store.layout import RESULTS
from harness.suite import load_suite
from harness.suite.selection import parse_selection


@dataclass(frozen=True)
class Run:
    """Results by cell, in their order, with the score of every group."""

    name: str
    results: dict[Cell, Result]


def load_run(name: str, requested: Sequence[str], settings: Settings, only: Sequence[str]) -> Run:
    """The results of a run.

    Arguments:
        name: A suite's file (`.toml`), which is scored from what is stored; or a folder with the
            results of a run as they were then, `STORE/results/SUITE`.
        requested: Plugins asked for on the command line.
        settings: Where a suite's results are stored.
        only: Selections `KEY=VALUE`.

    Raises:
        BenchError: There is no such run, or a selection is unknown.
        NothingSelectedError: It has no results, or none is selected.
    """
    path = Path(name)
    if path.suffix == ".toml":
        found = _scored(path, requested, settings)
    elif any((path / name).is_file() for name in (FILE, FOR_PEOPLE)):
        found = read_results(path).results()
    else:
        raise BenchError(
            f"{name}: no run: neither a suite (.toml) nor a folder with {FILE}, "
            f"such as STORE/results/SUITE{_hint(path)}"
        )
    taken = parse_selection(only, [result.cell for result in found])
    results = {result.cell: result for result in found if taken.selects(result.cell)}
    if not results:
        raise NothingSelectedError(f"{name}: no results; bench run computes them")
    return Run(name, results)


def _hint(path: Path) -> str:
    """The runs that a store keeps, if the path is one."""
    kept = sorted(str(found.parent) for found in (path / RESULTS).glob(f"*/{FILE}"))
    return f" (known: {', '.join(kept)})" if kept else ""


def _scored(path: Path, requested: Sequence[str], settings: Settings) -> list[Result]:
    plan = plan_unopened(load_suite(path, requested), settings)
    return score_stored(plan, settings, lambda event: None).results
