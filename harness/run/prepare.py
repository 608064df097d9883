"""Before a run: the suite's data sets opened or downloaded, its plan, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness import events
from harness.data.cards import find_prepared
from harness.data.catalog import describe, fetch
from harness.data.folder import DataFolder, PreparedDataset
from harness.errors import DataError, MissingDataError
from harness.events import Report
from harness.plan.expand import make_plan
from harness.plan.jobs import Chain
from harness.plan.plan import Plan
from harness.settings import Settings
from harness.store.records import Store
from harness.suite import DatasetComponent, ResolvedSuite


def plan_unopened(suite: ResolvedSuite, settings: Settings) -> Plan:
    """The plan as far as it can be known without opening any data."""
    data, store = DataFolder(settings.data), Store(settings.store)
    return _plan_with(suite, lambda item: find_prepared(data, store, item), lambda name: None)


def plan_opened_if_present(suite: ResolvedSuite, settings: Settings) -> Plan:
    """The plan with every data set opened that is there; of others what an import told."""
    data, store = DataFolder(settings.data), Store(settings.store)

    def get(component: DatasetComponent) -> PreparedDataset | None:
        try:
            return data.prepare(component)
        except MissingDataError:
            return find_prepared(data, store, component)

    return _plan_with(suite, get, lambda name: None)


def plan_opened(suite: ResolvedSuite, settings: Settings, report: Report) -> Plan:
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
        except Exception as error:  # a plugin's mistake costs its own cells only
            plan.unusable[name] = f"data set {name!r}: {type(error).__name__}: {error}"
        done(name)
    return plan


def _require_splits(prepared: PreparedDataset, splits: set[str]) -> None:
    lacking = sorted(splits - set(prepared.counts))
    if lacking:
        raise DataError(f"it has no {' and no '.join(lacking)} split")


def missing_jobs(plan: Plan, store: Store, chain: Chain) -> list[str]:
    """What of a chain is not stored and can be computed: its epochs and statistics, by name."""
    if chain.id.dataset not in plan.prepared:
        return []
    keys = plan.keys(store)
    epochs = [
        f"{chain.id} epoch {epoch}"
        for epoch in sorted(chain.epochs)
        if not keys.has_checkpoint(chain.id, epoch)
    ]
    statistics = [
        str(job) for job in chain.jobs if plan.has_data(job) and not keys.has_statistic(job)
    ]
    return epochs + statistics


def missing_data_message(plan: Plan) -> str:
    """The data sets that a run lacks and the number of cells that need them."""
    lacking = sum(
        1
        for planned in plan.cells
        if any({job.chain.dataset, *job.datasets()} & set(plan.missing) for job in planned.jobs())
    )
    lines = [f"{lacking} of {len(plan.cells)} cells lack data:"]
    lines += [f"  {message}" for _, message in sorted(plan.missing.items())]
    return "\n".join([*lines, "--allow-missing runs the other cells"])


def fetch_missing(suite: ResolvedSuite, root: Path, report: Report) -> None:
    """Download the data sets that a suite needs and that are missing, as far as can be."""
    folder = DataFolder(root)
    needed = [suite.datasets[name] for name in make_plan(suite, {}).needed_datasets()]
    missing = [item for item in needed if describe(folder, item).state == "missing"]
    for problem in fetch(missing, lambda line: report(events.Message(line))):
        report(events.Message(problem))
