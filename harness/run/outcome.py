"""Outcome of a run: a result for every cell, computed by scorers or read from saved results."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import events
from harness.errors import BenchError
from harness.events import Report
from harness.plan.jobs import ChainId
from harness.plan.plan import Plan
from harness.results import Cell, Result
from harness.scoring.baselines import baseline_names, flag_beaten
from harness.settings import Settings
from harness.store.records import Store

if TYPE_CHECKING:
    from harness.scoring.score import Scored

SAVED_FROM = 200
"""Minimum number of cells for reading saved results; fewer cells are scored faster."""


@dataclass(frozen=True)
class Outcome:
    """Final state of a run.

    Attributes:
        pending: Cells with jobs that have not been run yet.
        set_aside: Number of statistics found damaged during scoring.
        fresh: Number of cells scored now, not counting cells read from saved results.
    """

    plan: Plan
    results: list[Result]
    pending: list[Cell]
    set_aside: int = 0
    fresh: int = 0

    @property
    def exit_status(self) -> int:
        """Exit status of the command: 0 if every cell has a number or does not apply, else 1."""
        all_done = all(result.status in ("ok", "unsupported") for result in self.results)
        return 0 if all_done and not self.pending else 1


def score_stored(plan: Plan, settings: Settings, report: Report) -> Outcome:
    """Score every cell from stored statistics; nothing is trained or evaluated."""
    from harness.scoring.score import score_plan

    outcome = _outcome(plan, score_plan(plan, Store(settings.store), lambda result: None))
    for result in outcome.results:
        report(events.CellFinished(result.to_json()))
    return outcome


def cached_outcome(plan: Plan, settings: Settings) -> Outcome:
    """Return the same outcome as `score_stored`, with saved results where possible.

    For a suite with many cells, saved results are read back while the basis of the results is
    unchanged; cells added since then are scored.
    """
    from harness.run.basis import Basis
    from harness.run.saved import read_results, save_results, suite_folder
    from harness.scoring.score import score_plan

    store = Store(settings.store)
    if len(plan.cells) < SAVED_FROM:
        return score_stored(plan, settings, lambda event: None)
    basis = Basis(plan, store)
    saved = None
    with suppress(BenchError):
        saved = read_results(suite_folder(plan, store))
    known = saved.find if saved is not None and basis.holds(saved.basis) else lambda cell: None
    outcome = _outcome(plan, score_plan(plan, store, lambda result: None, known))
    if outcome.fresh >= SAVED_FROM and not plan.only.as_arguments():
        with suppress(OSError):  # a full disk must not prevent a report
            save_results(plan, store, outcome.results, basis.of(outcome.results))
    return outcome


def _outcome(plan: Plan, scored: Scored) -> Outcome:
    results = flag_beaten(scored.results, baseline_names(plan))
    return Outcome(plan, results, scored.pending, scored.set_aside, scored.fresh)


def without_pending(outcome: Outcome, failures: Mapping[str, str]) -> Outcome:
    """Turn pending cells into failed cells.

    After a run, a cell can be pending only if a job ended without a record, for example because
    the process was killed.

    Arguments:
        outcome: Outcome after the run.
        failures: Messages of failed tasks, by name of the chain.
    """
    lost = []
    for cell in outcome.pending:
        chain = ChainId(cell.model, cell.in_dataset, cell.seed)
        reason = failures.get(str(chain), "was not computed")
        lost.append(Result(cell, "failed", f"{chain}: {reason}; run again to resume"))
    return Outcome(outcome.plan, outcome.results + lost, [])
