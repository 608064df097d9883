"""A run: open the data, plan, do what is missing, score everything, keep the results."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness import events
from harness.announce import run_started
from harness.baselines import baseline_names, flag_beaten
from harness.cards import find_prepared
from harness.chain import ChainTask
from harness.data import DataFolder, PreparedDataset
from harness.errors import DataError, MissingDataError
from harness.eventlog import new_run_folder
from harness.expand import make_plan
from harness.keys import digest
from harness.plan import Chain, ChainId, Plan
from harness.preview import Preview
from harness.results import Cell, Result
from harness.settings import Settings, share_processors
from harness.store import Store, replace_file
from harness.suite import DatasetComponent, ResolvedSuite

if TYPE_CHECKING:
    from harness.kept import Kept
    from harness.scoring import Scored

Report = Callable[[events.Event], None]
# A cell that reads several damaged statistics finds one at a time; a disk may damage all of them.
MOST_REPAIRS = 20


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


def find_plan(suite: ResolvedSuite, settings: Settings) -> Plan:
    """The plan as far as it can be known without opening any data."""
    data, store = DataFolder(settings.data), Store(settings.store)
    return _plan_with(suite, lambda item: find_prepared(data, store, item), lambda name: None)


def open_known(suite: ResolvedSuite, settings: Settings) -> Plan:
    """The plan with every data set opened that is there; of others what an import told."""
    data, store = DataFolder(settings.data), Store(settings.store)

    def get(component: DatasetComponent) -> PreparedDataset | None:
        try:
            return data.prepare(component)
        except MissingDataError:
            return find_prepared(data, store, component)

    return _plan_with(suite, get, lambda name: None)


def open_plan(suite: ResolvedSuite, settings: Settings, report: Report) -> Plan:
    """The plan with its data sets opened, and converted where that was not done before."""
    data = DataFolder(settings.data)
    names = make_plan(suite, {}).needed_datasets()
    report(events.StepStarted("data", "opening data sets", len(names), "sets"))
    plan = _plan_with(suite, data.prepare, lambda name: report(events.StepAdvanced("data", 1)))
    report(events.StepFinished("data"))
    return plan


def _plan_with(
    suite: ResolvedSuite,
    get: Callable[[DatasetComponent], PreparedDataset | None],
    done: Callable[[str], None],
) -> Plan:
    """Get every data set that the suite needs, and plan with those that can be had."""
    plan = make_plan(suite, {})
    trained_on = {chain.dataset for chain in plan.chains}
    prepared: dict[str, PreparedDataset] = {}
    missing: dict[str, str] = {}
    unusable: dict[str, str] = {}
    for name in plan.needed_datasets():
        try:
            found = get(suite.datasets[name])
            if found is not None:
                _require_splits(found, {"train", "test"} if name in trained_on else {"test"})
                prepared[name] = found
        except MissingDataError as error:
            missing[name] = f"data set {name!r}: {error}"
        except DataError as error:
            unusable[name] = f"data set {name!r}: {error}"
        except Exception as error:  # a plugin's mistake costs its own cells only
            unusable[name] = f"data set {name!r}: {type(error).__name__}: {error}"
        done(name)
    plan.prepared, plan.missing, plan.unusable = prepared, missing, unusable
    return plan


def _require_splits(prepared: PreparedDataset, splits: set[str]) -> None:
    lacking = sorted(splits - set(prepared.counts))
    if lacking:
        raise DataError(f"it has no {' and no '.join(lacking)} split")


def missing_jobs(plan: Plan, store: Store, chain: Chain) -> list[str]:
    """What of a chain is not stored and can be computed: its epochs and statistics, by name."""
    if chain.id.dataset not in plan.prepared:
        return []
    epochs = [
        f"{chain.id} epoch {epoch}"
        for epoch in sorted(chain.epochs)
        if not plan.has_checkpoint(store, chain.id, epoch)
    ]
    statistics = [
        str(job) for job in chain.jobs if plan.has_data(job) and not plan.has_statistic(store, job)
    ]
    return epochs + statistics


def run(
    suite: ResolvedSuite, settings: Settings, report: Report, allow_missing: bool = False
) -> Outcome:
    """Compute whatever of a suite is not stored, and score all of it.

    Arguments:
        suite: Resolved.
        settings: Where and how; changes no number beyond rounding.
        report: Told of everything that happens.
        allow_missing: Run the cells whose data is there instead of refusing.

    Raises:
        MissingDataError: A data set is not there, and `allow_missing` is not set.
    """
    from harness.kept import KEPT_FROM, Kept

    plan = open_plan(suite, settings, report)
    if plan.missing and not allow_missing:
        raise MissingDataError(_missing_message(plan))
    store = Store(settings.store)
    chains = [chain for chain in plan.chains.values() if missing_jobs(plan, store, chain)]
    jobs = sum(len(missing_jobs(plan, store, chain)) for chain in chains)
    report(run_started(plan, jobs, new_run_folder(settings.store, plan.suite)))
    failures: dict[str, str] = {}
    preview = Preview(plan, store, report) if chains else None

    def follow(event: events.Event) -> None:
        if isinstance(event, events.JobFailed):
            failures[event.task] = event.message
        report(event)
        if preview is not None:
            preview(event)

    if chains:
        _execute(suite, settings, plan, chains, follow)
    outcome = score(plan, settings, report)
    for _ in range(MOST_REPAIRS):
        if not outcome.set_aside:
            break
        report(events.Message(f"{outcome.set_aside} damaged statistics are computed again"))
        damaged = [chain for chain in plan.chains.values() if missing_jobs(plan, store, chain)]
        _execute(suite, settings, plan, damaged, follow)
        outcome = score(plan, settings, report)
    outcome = _without_pending(outcome, failures)
    _keep(outcome, store)
    if len(outcome.results) >= KEPT_FROM:
        _keep_scores(Kept(plan, store), outcome.results)
    counts = Counter[str](result.status for result in outcome.results)
    report(events.RunFinished(plan.suite, dict(counts)))
    return outcome


def score(plan: Plan, settings: Settings, report: Report) -> Outcome:
    """Results of all that is stored; nothing is trained or evaluated, all is scored anew."""
    from harness.scoring import score_plan

    outcome = _outcome(plan, score_plan(plan, Store(settings.store), lambda result: None))
    for result in outcome.results:
        report(events.CellFinished(result.to_json()))
    return outcome


def look_up(plan: Plan, settings: Settings) -> Outcome:
    """Results of all that is stored, as `score` has them: those of many cells are kept for this.

    Where they cannot be kept, they are scored anew each time.
    """
    from harness.kept import KEPT_FROM, Kept
    from harness.scoring import score_plan

    store = Store(settings.store)
    if len(plan.cells) < KEPT_FROM:
        return score(plan, settings, lambda event: None)
    kept = Kept(plan, store)
    scored = score_plan(plan, store, lambda result: None, kept.find)
    if scored.fresh >= KEPT_FROM:
        _keep_scores(kept, scored.results)
    return _outcome(plan, scored)


def _outcome(plan: Plan, scored: Scored) -> Outcome:
    results = flag_beaten(scored.results, baseline_names(plan))
    return Outcome(plan, results, scored.pending, scored.set_aside)


def _without_pending(outcome: Outcome, failures: Mapping[str, str]) -> Outcome:
    """Cells that a run could not compute and that left no record, as when a process was killed."""
    lost = []
    for cell in outcome.pending:
        chain = ChainId(cell.model, cell.in_dataset, cell.seed)
        reason = failures.get(str(chain), "was not computed")
        lost.append(Result(cell, "failed", f"{chain}: {reason}; run again to resume"))
    return Outcome(outcome.plan, outcome.results + lost, [])


def _execute(
    suite: ResolvedSuite, settings: Settings, plan: Plan, chains: list[Chain], report: Report
) -> None:
    from harness.devices import find_device

    on_cpu = find_device(settings.device).type == "cpu"
    workers, threads = share_processors(settings, len(plan.chains) if on_cpu else 1)
    automatic = "processes" if workers > 1 else "sequential"
    name = automatic if settings.executor == "auto" else settings.executor
    executor = suite.registry.get("executors", name).load()(workers=workers)
    work = replace(plan, cells=[])
    tasks = [ChainTask(work, chain, settings, threads) for chain in chains]
    executor.run(tasks, report)


def _missing_message(plan: Plan) -> str:
    lacking = sum(
        1
        for planned in plan.cells
        if any({job.chain.dataset, *job.datasets()} & set(plan.missing) for job in planned.jobs())
    )
    lines = [f"{lacking} of {len(plan.cells)} cells lack data:"]
    lines += [f"  {message}" for _, message in sorted(plan.missing.items())]
    return "\n".join([*lines, "--allow-missing runs the other cells"])


def _keep_scores(kept: Kept, results: Sequence[Result]) -> None:
    """Keep the scores for `look_up`, but those of a selection, and where they can be written."""
    if not kept.plan.only.texts():
        with suppress(OSError):
            kept.keep(results)


def _keep(outcome: Outcome, store: Store) -> None:
    """Keep results and the score of every group under `results/SUITE/`.

    Those of a selection lie in a folder of their own below, and take nothing's place.
    """
    import numpy as np

    scores: dict[str, Any] = {}
    for number, result in enumerate(outcome.results):
        if result.scores_in is not None and result.scores_out is not None:
            scores[f"{number}.in"] = result.scores_in
            scores[f"{number}.out"] = result.scores_out
    buffer = io.BytesIO()
    np.savez(buffer, **scores)
    folder = store.root / "results" / outcome.plan.suite
    only = outcome.plan.only.texts()
    if only:
        folder /= f"only-{digest(only)[:8]}"
    replace_file(folder / "scores.npz", buffer.getvalue())
    results = [item.to_json() for item in outcome.results]
    rows = {"suite": outcome.plan.suite, "only": only, "results": results}
    replace_file(folder / "results.json", json.dumps(rows, indent=1, allow_nan=False).encode())
