"""A run: compute missing jobs, score all cells, save the results, and report events."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from harness import events
from harness.events import Report, RunStarted
from harness.plan.jobs import Chain
from harness.plan.plan import Plan
from harness.results import STATUS_WORDS
from harness.run.event_log import new_run_folder
from harness.run.outcome import Outcome, score_stored, without_pending
from harness.run.prepare import missing_jobs, plan_complete, refuse_unwritable
from harness.run.workers import run_workers
from harness.scoring.preview import Preview
from harness.settings import Settings
from harness.store.layout import RESULTS
from harness.store.records import Store, find_unwritable
from harness.suite import ResolvedSuite

# Scoring finds one damaged statistic per cell and round; a failing disk may damage many.
MOST_REPAIRS = 20


def run(
    suite: ResolvedSuite, settings: Settings, report: Report, allow_missing: bool = False
) -> Outcome:
    """Compute every job of a suite that is not stored yet, then score all cells.

    Arguments:
        suite: Resolved suite.
        settings: Where and how to compute; changes no number beyond rounding.
        report: Called with every event.
        allow_missing: Run the cells with available data instead of refusing to run.

    Raises:
        MissingDataError: A data set is missing, and `allow_missing` is not set.
        FolderError: A folder must be written and cannot be.
    """
    plan = plan_complete(suite, settings, report, allow_missing)
    store = Store(settings.store)
    missing = {chain: len(missing_jobs(plan, store, plan.chains[chain])) for chain in plan.chains}
    chains = [plan.chains[chain] for chain, count in missing.items() if count]
    if chains:
        refuse_unwritable(store, sum(missing.values()))
    folder = new_run_folder(settings.store, plan.suite)
    report(run_started(plan, sum(missing.values()), folder))
    chain_of: dict[str, str] = {}
    failures: dict[str, str] = {}
    told: set[str] = set()
    preview = Preview(plan, store, report) if chains else None

    def follow(event: events.Event) -> None:
        if isinstance(event, events.WorkTaken):
            chain_of[event.task] = event.chain
        if isinstance(event, events.JobFailed):
            failures[chain_of.get(event.task, event.task)] = event.message
        report(event)
        if isinstance(event, events.JobUnsupported) and event.message not in told:
            told.add(event.message)
            report(events.Message(f"{STATUS_WORDS['unsupported']}: {event.message}"))
        if preview is not None:
            preview(event)

    if chains:
        run_workers(suite, settings, plan, folder, follow)
    outcome = score_stored(plan, settings, report)
    for _ in range(MOST_REPAIRS):
        if not outcome.set_aside:
            break
        report(events.Message(f"{outcome.set_aside} damaged statistics are computed again"))
        run_workers(suite, settings, plan, folder, follow)
        outcome = score_stored(plan, settings, report)
    outcome = without_pending(outcome, failures)
    unwritable = find_unwritable(store.root)
    if unwritable is None:
        _save(plan, store, outcome)
        _tell_other_place(plan, store, report)
    else:
        report(events.Message(f"{unwritable} cannot be written: no results are saved"))
    counts = Counter[str](result.status for result in outcome.results)
    report(events.RunFinished(plan.suite, dict(counts)))
    return outcome


def _tell_other_place(plan: Plan, store: Store, report: Report) -> None:
    """Say where the results are if another suite with the same file name has the usual folder."""
    from harness.run.saved import results_folder, results_owner, suite_folder

    usual = store.root / RESULTS / plan.suite
    if suite_folder(plan, store) != usual:
        of, place = results_owner(usual), results_folder(plan, store)
        report(events.Message(f"{usual} has the results of {of}; those of this run: {place}"))


def _save(plan: Plan, store: Store, outcome: Outcome) -> None:
    from harness.run.basis import Basis
    from harness.run.saved import save_results

    save_results(plan, store, outcome.results, Basis(plan, store).of(outcome.results))


def run_started(plan: Plan, jobs: int, folder: Path) -> RunStarted:
    """Create the first event of a run.

    Arguments:
        plan: Plan of the run.
        jobs: Number of jobs to compute.
        folder: Folder for files about the run, for example the event log.
    """
    return RunStarted(
        plan.suite,
        jobs,
        len(plan.cells),
        folder=str(folder),
        only=plan.only.as_arguments(),
        trainings=[_training(chain) for chain in plan.chains.values()],
        tables=_tables(plan),
    )


def _training(chain: Chain) -> dict[str, Any]:
    saved = chain.model.saved
    return {
        "model": chain.id.model,
        "in": chain.id.dataset,
        "seed": chain.id.seed,
        "plugin": chain.model.registered.provenance(),
        "options": dict(chain.model.options),
        "recipe": None if saved else chain.model.recipe.model_dump(mode="json"),
        "saved": saved.source if saved else None,
        "epochs": sorted(chain.epochs),
    }


def _tables(plan: Plan) -> list[dict[str, Any]]:
    """Summarise the cells by model, ID set and group size; a list of all cells may be too long."""
    tables: dict[tuple[str, str, int], dict[str, dict[Any, None]]] = {}
    units: dict[str, str] = {chain.model: plan.unit(chain) for chain in plan.chains}
    for planned in plan.cells:
        cell = planned.cell
        axes = tables.setdefault((cell.model, cell.in_dataset, cell.group_size), {})
        for axis, value in (
            ("out", cell.out_dataset),
            ("scorers", cell.scorer),
            ("epochs", cell.epoch),
            ("seeds", cell.seed),
        ):
            axes.setdefault(axis, {})[value] = None
    return [
        {"model": model, "in": in_, "group_size": size, "unit": units[model]}
        | {axis: list(values) for axis, values in axes.items()}
        for (model, in_, size), axes in tables.items()
    ]
