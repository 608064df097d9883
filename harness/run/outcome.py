"""Outcome of a run: every cell's result, from the scorers or from the score cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import events
from harness.events import Report
from harness.plan.jobs import ChainId
from harness.plan.plan import Plan
from harness.results import Cell, Result
from harness.scoring.baselines import baseline_names, flag_beaten
from harness.settings import Settings
from harness.store.records import Store

if TYPE_CHECKING:
    from harness.scoring.cache import ScoreCache
    from harness.scoring.score import Scored


@dataclass(frozen=True)
class Outcome:
    """What a run ended with."""

    plan: Plan
    results: list[Result]
    pending: list[Cell]
    set_aside: int = 0

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

    The scores of many cells are kept for this. Where they cannot be kept, all is scored anew.
    """
    from harness.scoring.cache import KEPT_FROM, ScoreCache
    from harness.scoring.score import score_plan

    store = Store(settings.store)
    if len(plan.cells) < KEPT_FROM:
        return score_stored(plan, settings, lambda event: None)
    kept = ScoreCache(plan, store)
    scored = score_plan(plan, store, lambda result: None, kept.find)
    if scored.fresh >= KEPT_FROM:
        keep_scores(kept, scored.results)
    return _outcome(plan, scored)


def _outcome(plan: Plan, scored: Scored) -> Outcome:
    results = flag_beaten(scored.results, baseline_names(plan))
    return Outcome(plan, results, scored.pending, scored.set_aside)


def without_pending(outcome: Outcome, failures: Mapping[str, str]) -> Outcome:
    """Cells that a run could not compute and that left no record, as when a process was killed."""
    lost = []
    for cell in outcome.pending:
        chain = ChainId(cell.model, cell.in_dataset, cell.seed)
        reason = failures.get(str(chain), "was not computed")
        lost.append(Result(cell, "failed", f"{chain}: {reason}; run again to resume"))
    return Outcome(outcome.plan, outcome.results + lost, [])


def keep_scores(kept: ScoreCache, results: Sequence[Result]) -> None:
    """Keep the scores for `cached_outcome`; not those of a selection, nor on a full disk."""
    if not kept.plan.only.as_arguments():
        with suppress(OSError):
            kept.keep(results)
