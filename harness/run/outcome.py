"""Outcome of a run: every cell's result, from the scorers or from the score cache."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
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
from harness.suite.selection import Selection

if TYPE_CHECKING:
    from harness.scoring.score import Scored

SAVED_FROM = 200
"""Number of cells from which on reading results back is quicker than scoring them again."""


@dataclass(frozen=True)
class Outcome:
    """What a run ended with.

    Attributes:
        pending: Cells that no job has been run for yet.
        set_aside: Number of statistics that were found damaged.
        fresh: Number of cells that were scored, and not read back.
    """

    plan: Plan
    results: list[Result]
    pending: list[Cell]
    set_aside: int = 0
    fresh: int = 0

    @property
    def exit_status(self) -> int:
        """0 if every cell has a number, else 1."""
        all_ok = all(result.status == "ok" for result in self.results)
        return 0 if all_ok and not self.pending else 1


def score_stored(plan: Plan, settings: Settings, report: Report) -> Outcome:
    """Results of all that is stored; nothing is trained or evaluated, all is scored anew."""
    from harness.scoring.score import score_plan

    outcome = _outcome(plan, score_plan(plan, Store(settings.store), lambda result: None))
    for result in outcome.results:
        report(events.CellFinished(result.to_json()))
    return outcome


def cached_outcome(plan: Plan, settings: Settings) -> Outcome:
    """Results of all that is stored, equal to those of `score_stored`.

    Of a suite of many cells the results that were saved are read back, as far as all that they
    rest on is what it was; what has come since is scored.
    """
    from harness.run.basis import Basis
    from harness.run.saved import read_results, results_folder, save_results
    from harness.scoring.score import score_plan

    store = Store(settings.store)
    if len(plan.cells) < SAVED_FROM:
        return score_stored(plan, settings, lambda event: None)
    basis = Basis(plan, store)
    saved = None
    with suppress(BenchError):
        saved = read_results(results_folder(replace(plan, only=Selection()), store))
    known = saved.find if saved is not None and basis.holds(saved.basis) else lambda cell: None
    outcome = _outcome(plan, score_plan(plan, store, lambda result: None, known))
    if outcome.fresh >= SAVED_FROM and not plan.only.as_arguments():
        with suppress(OSError):  # a full disk hinders no report
            save_results(plan, store, outcome.results, basis.of(outcome.results))
    return outcome


def _outcome(plan: Plan, scored: Scored) -> Outcome:
    results = flag_beaten(scored.results, baseline_names(plan))
    return Outcome(plan, results, scored.pending, scored.set_aside, scored.fresh)


def without_pending(outcome: Outcome, failures: Mapping[str, str]) -> Outcome:
    """Cells that a run could not compute and that left no record, as when a process was killed."""
    lost = []
    for cell in outcome.pending:
        chain = ChainId(cell.model, cell.in_dataset, cell.seed)
        reason = failures.get(str(chain), "was not computed")
        lost.append(Result(cell, "failed", f"{chain}: {reason}; run again to resume"))
    return Outcome(outcome.plan, outcome.results + lost, [])
