"""Runs by name: a suite, scored from stored statistics, or results saved by an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BenchError, NothingSelectedError, NothingStoredError
from harness.results import Cell, Result
from harness.run.command import run_command
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.run.saved import FILE, FOR_PEOPLE, read_results
from harness.settings import Settings
from harness.store.layout import RESULTS
from harness.suite import load_suite
from harness.suite.selection import parse_selection
from harness.suite.toml.files import shipped_by_name


@dataclass(frozen=True)
class Run:
    """Results by cell, in order, with the score for every group."""

    name: str
    results: dict[Cell, Result]


def load_run(name: str, requested: Sequence[str], settings: Settings, only: Sequence[str]) -> Run:
    """Load the results of a run.

    Arguments:
        name: A suite (a `.toml` file or the name of a shipped suite), scored from stored
            statistics; or a folder with the results saved by a run, `STORE/results/SUITE`.
        requested: Plugins requested on the command line.
        settings: Where a suite's results are stored.
        only: Selections in the form `KEY=VALUE`.

    Raises:
        BenchError: The run does not exist, or a selection is unknown.
        NothingSelectedError: The run has no results, or the selection excludes all results.
    """
    path = Path(name)
    if any((path / file).is_file() for file in (FILE, FOR_PEOPLE)):
        found = read_results(path).results()
    elif path.suffix == ".toml" or name in shipped_by_name():
        found = _scored(path, requested, settings)
    else:
        raise BenchError(
            f"{name} is not a run: expected a suite (.toml) or a folder with {FILE}, "
            f"such as STORE/results/SUITE{_hint(path)}"
        )
    taken = parse_selection(only, [result.cell for result in found])
    results = {result.cell: result for result in found if taken.selects(result.cell)}
    if not results:
        raise NothingSelectedError(f"{name} has no results{_asked(only)}")
    return Run(name, results)


def _asked(only: Sequence[str]) -> str:
    return f" for {' '.join(f'--only {text}' for text in only)}" if only else ""


def _hint(path: Path) -> str:
    """List the saved runs in a store, if the path is a store."""
    kept = sorted(str(found.parent) for found in (path / RESULTS).glob(f"*/{FILE}"))
    return f" (known: {', '.join(kept)})" if kept else ""


def _scored(path: Path, requested: Sequence[str], settings: Settings) -> list[Result]:
    suite = load_suite(path, requested)
    plan = plan_unopened(suite, settings)
    found = score_stored(plan, settings, lambda event: None).results
    if not found:
        raise NothingStoredError(str(path), settings.store, run_command(suite, settings))
    return found
