"""Preparation of a run: open or download data sets, make the plan, and list missing jobs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness import events
from harness.data.cards import find_prepared
from harness.data.catalog import describe, fetch
from harness.data.folder import DataFolder, PreparedDataset
from harness.data.questions import notes_on_dataset
from harness.errors import DataError, FolderError, MissingDataError
from harness.events import Report
from harness.plan.expand import make_plan
from harness.plan.jobs import Chain, StatisticJob
from harness.plan.missing import is_missing, missing_epochs
from harness.plan.plan import Plan
from harness.settings import Settings
from harness.store.locks import ask_for_locks
from harness.store.records import Store, find_unwritable
from harness.suite import DatasetComponent, ResolvedSuite
from harness.text import counted

DATA = "data"
"""Name of the task that opens data sets."""


def plan_unopened(suite: ResolvedSuite, settings: Settings) -> Plan:
    """Make the plan from stored descriptions of data sets, without opening any data."""
    data, store = DataFolder(settings.data), Store(settings.store)
    return _plan_with(suite, lambda item: find_prepared(data, store, item), lambda name: None)


def plan_opened_if_present(suite: ResolvedSuite, settings: Settings) -> Plan:
    """Make the plan with all available data sets opened; imported cards describe the others."""
    data, store = DataFolder(settings.data), Store(settings.store)

    def get(component: DatasetComponent) -> PreparedDataset | None:
        try:
            return data.prepare(component)
        except MissingDataError:
            return find_prepared(data, store, component)

    return _plan_with(suite, get, lambda name: None)


def plan_opened(suite: ResolvedSuite, settings: Settings, report: Report) -> Plan:
    """Make the plan with all data sets opened; the first use converts a data set."""
    data = DataFolder(settings.data)
    names = make_plan(suite, {}).needed_datasets()
    report(events.StepStarted(DATA, "opening data sets", len(names), "sets"))

    def tell_notes(prepared: PreparedDataset) -> None:
        for note in notes_on_dataset(prepared):
            report(events.Message(note))

    def get(component: DatasetComponent) -> PreparedDataset:
        return data.prepare(component, tell_notes)

    plan = _plan_with(suite, get, lambda name: report(events.StepAdvanced(DATA, 1)))
    report(events.StepFinished(DATA))
    return plan


def plan_complete(
    suite: ResolvedSuite, settings: Settings, report: Report, allow_missing: bool
) -> Plan:
    """Make the plan with all data sets opened, and refuse a plan that lacks data.

    Raises:
        MissingDataError: A data set is missing, and `allow_missing` is not set.
    """
    if settings.locks != "auto":
        for root in (settings.store, settings.data):
            with suppress(OSError):  # a folder that is read-only needs no locks
                ask_for_locks(root, settings.locks)
    plan = plan_opened(suite, settings, report)
    if (plan.missing or plan.absent_revisions()) and not allow_missing:
        raise MissingDataError(missing_data_message(plan))
    return plan


def refuse_unwritable(store: Store, jobs: int) -> None:
    """Check that a store can be written, before a number of jobs is computed.

    Raises:
        FolderError: The store, or a folder in it, cannot be written.
    """
    unwritable = find_unwritable(store.root)
    if unwritable is not None:
        raise FolderError(
            f"{counted(jobs, 'job')} must be computed, but {unwritable} cannot be written: change "
            "the permissions, or name another store with --store or $BENCH_STORE"
        )


def _plan_with(
    suite: ResolvedSuite,
    get: Callable[[DatasetComponent], PreparedDataset | None],
    done: Callable[[str], None],
) -> Plan:
    """Load every data set needed by the suite and make the plan with the available data sets.

    A data set that fails to load is noted in the plan; cells on other data sets are unaffected.
    """
    plan = make_plan(suite, {})
    trained_on = {id_.dataset for id_, chain in plan.chains.items() if chain.model.saved is None}
    for name in plan.needed_datasets():
        try:
            found = get(suite.datasets[name])
            if found is not None:
                _require_splits(found, {"train", "test"} if name in trained_on else {"test"})
                plan.prepared[name] = found
        except MissingDataError as error:
            plan.missing[name] = f"data set {name!r}: {error}"
        except DataError as error:
            plan.unusable[name] = f"data set {name!r}: {error}"
        except FolderError:
            raise
        except Exception as error:  # an error in a plugin must not affect other cells
            plan.unusable[name] = f"data set {name!r}: {type(error).__name__}: {error}"
        done(name)
    return plan


def _require_splits(prepared: PreparedDataset, splits: set[str]) -> None:
    lacking = sorted(splits - set(prepared.counts))
    if lacking:
        raise DataError(f"no {' and no '.join(lacking)} split")


def missing_jobs(plan: Plan, store: Store, chain: Chain) -> list[str]:
    """List the epochs and statistics in a chain that are missing but can be computed, by name."""
    if chain.id.dataset not in plan.prepared:
        return []
    epochs = [f"{chain.id} {chain.unit} {epoch}" for epoch in missing_epochs(plan, store, chain)]
    statistics = [
        str(job) for job in chain.jobs if plan.has_data(job) and is_missing(plan, store, job)
    ]
    return epochs + statistics


def missing_data_message(plan: Plan) -> str:
    """Describe the data and revisions missing for a run, with the number of affected cells."""
    lacking = sum(any(_lacks(plan, job) for job in planned.jobs()) for planned in plan.cells)
    lines = [f"{lacking} of {len(plan.cells)} cells lack data:"]
    messages = sorted(plan.missing.items()) + sorted(plan.absent_revisions().items())
    lines += [f"  {message}" for _, message in messages]
    return "\n".join([*lines, "--allow-missing runs the other cells"])


def _lacks(plan: Plan, job: StatisticJob) -> bool:
    names = {job.chain.dataset, *job.datasets()}
    return bool(names & set(plan.missing)) or plan.absence(job.chain, job.epoch) is not None


def fetch_missing(suite: ResolvedSuite, root: Path, report: Report) -> None:
    """Download the missing data sets for a suite, where possible."""
    folder = DataFolder(root)
    needed = [suite.datasets[name] for name in make_plan(suite, {}).needed_datasets()]
    missing = [item for item in needed if describe(folder, item).state == "missing"]
    for problem in fetch(missing, lambda line: report(events.Message(line))):
        report(events.Message(problem))
