"""`bench store ls`, `fsck`, `gc`, `export` and `import`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from harness import events
from harness.cli.arguments import (
    DataOption,
    JsonOption,
    PluginOption,
    SetOption,
    StoreOption,
    SuitePath,
)
from harness.cli.completion import complete_suites
from harness.cli.display.displays import make_display
from harness.cli.output import print_json, print_rows, tell
from harness.maintenance.export import export_suite
from harness.maintenance.fsck import Checked, check_store
from harness.maintenance.gc import Garbage, GarbageItem, find_garbage, remove_garbage
from harness.maintenance.import_archive import import_archive
from harness.maintenance.inventory import (
    OtherFiles,
    StoredTraining,
    list_other_files,
    list_trainings,
)
from harness.maintenance.required import RequiredRecords
from harness.plan.plan import Plan
from harness.run.prepare import plan_opened_if_present, plan_unopened
from harness.settings import Settings
from harness.store.contents import folder_size
from harness.store.layout import KINDS
from harness.store.records import Store
from harness.suite import ResolvedSuite, load_suite
from harness.text import listed, one_line

Suites: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="SUITE",
        help="Show the needs of these suites.",
        autocompletion=complete_suites,
        show_default=False,
    ),
]
SomeSuites: TypeAlias = Annotated[
    list[Path],
    typer.Argument(
        metavar="SUITE",
        help="Suites whose records are kept.",
        autocompletion=complete_suites,
        show_default=False,
    ),
]


def list_store(
    suites: Suites = None,
    *,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
    json: JsonOption = False,
) -> None:
    """List stored records and the suites that need them.

    Lists trainings with epochs, statistics and sizes, then all other files.
    """
    records = Store(store)
    needs = _needs(suites or (), plugin, Settings(store, data))
    trainings, beside = list_trainings(records, needs), list_other_files(records, needs)
    if json:
        sized = [{**vars(item), "size": item.size} for item in trainings]
        print_json({"store": records.root, "trainings": sized, "beside": beside})
        return
    asked = bool(needs.suites)
    needed = ["not needed", "needed by"] if asked else []
    axis = " or ".join(sorted({f"{item.unit}s" for item in trainings})) or "epochs"
    headers = ["training", axis, "MB", "statistics", "MB", *needed, "key"]
    print_rows(headers, [_training_row(item, asked) for item in trainings])
    print()
    headers = ["beside", "number", "MB", *(["needed by"] if asked else [])]
    print_rows(headers, [_beside_row(item, asked) for item in beside])
    total = sum(item.size for item in trainings) + sum(item.size for item in beside)
    print(f"\n{total / 1e6:,.1f} MB in {records.root}")
    for suite, names in needs.unknown.items():
        print(
            f"{suite}: the required records are not fully known: {', '.join(names)} not opened yet"
        )


def _training_row(item: StoredTraining, asked: bool) -> list[Any]:
    epochs = listed(sorted(item.epochs), " ") or "-"
    damaged = f" ({item.damaged} damaged)" if item.damaged else ""
    needed = [item.unneeded or "-", " ".join(item.needed_by) or "-"] if asked else []
    weights = sum(item.epochs.values()) + item.rolling
    sizes = [f"{weights / 1e6:,.1f}", item.statistics, f"{item.statistics_size / 1e6:,.1f}"]
    return [item.chain + damaged, epochs, *sizes, *needed, item.key[:12] or "-"]


def _beside_row(item: OtherFiles, asked: bool) -> list[Any]:
    needed = [" ".join(item.needed_by) or "-"] if asked else []
    return [item.what, item.count, f"{item.size / 1e6:,.1f}", *needed]


def check(store: StoreOption, json: JsonOption = False) -> None:
    """Verify every checksum in the store.

    Damaged records are moved to the quarantine, never deleted, and computed again when a suite
    needs them. Exit status 1 if anything was damaged.
    """
    records = Store(store)
    total = sum(folder_size(records.root / kind) for kind in KINDS)
    with _progress("verifying the store", total) as advance:
        checked = check_store(records, advance)
    if json:
        print_json({**vars(checked), "store": records.root})
    else:
        _print_checked(checked)
    raise typer.Exit(1 if checked.damaged else 0)


def _print_checked(checked: Checked) -> None:
    print(f"{checked.records:,} records, {checked.size / 1e6:,.1f} MB read in full")
    for item in checked.damaged:
        print(one_line(f"damaged: {item.what}: {item.problem}"))
        print(one_line(f"  set aside as {item.aside}; {item.consequence}"))
    print(f"{len(checked.damaged)} damaged" if checked.damaged else "no damage found")


def collect(
    suites: SomeSuites,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove the records, instead of only listing them.")
    ] = False,
    *,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
    json: JsonOption = False,
) -> None:
    """Find unneeded records; --delete removes them.

    Unneeded are checkpoints, statistics, failures, results and logs for suites not named, the
    quarantine, and temporary files from killed runs. Anything written in the last hour or in use
    by a run is kept, so this is safe while runs are active.
    """
    records = Store(store)
    garbage = find_garbage(
        records, _needs(suites, plugin, Settings(store, data), plan_opened_if_present)
    )
    if delete:
        not_tried, garbage = garbage.kept, remove_garbage(records, garbage.found)
        garbage.kept += not_tried
    if json:
        removed = [_described(item) for item in garbage.found]
        kept = [{**_described(item), "why": why} for item, why in garbage.kept]
        print_json({"deleted": delete, "leftovers": removed, "kept": kept})
    else:
        _print_garbage(garbage, delete)


def _print_garbage(garbage: Garbage, delete: bool) -> None:
    rows = [[item.kind, f"{item.size / 1e6:,.1f}", item.what] for item in garbage.found]
    if rows:
        print_rows(["kind", "MB", "not needed"], rows)
        print()
    size = sum(item.size for item in garbage.found)
    text = f"{len(rows):,} items, {size / 1e6:,.1f} MB"
    print(f"{text}, removed" if delete else f"{text}, would be removed")
    for why in sorted({why for _, why in garbage.kept}):
        print(f"{sum(why == other for _, other in garbage.kept):,} more are kept: {why}")
    if rows and not delete:
        tell("nothing was removed; use --delete to remove")


def _described(item: GarbageItem) -> dict[str, Any]:
    return {"what": item.what, "kind": item.kind, "path": str(item.path), "bytes": item.size}


def export(
    suite: SuitePath,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write.")],
    weights: Annotated[
        bool,
        typer.Option("--weights", help="Include the weights, for further training."),
    ] = False,
    *,
    changes: SetOption,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
) -> None:
    """Write all stored records of a suite to one archive.

    On another machine, `bench store import` imports the archive, and `bench report` then shows the
    same results without the data. Without --weights, models needed there are trained again.
    """
    resolved = load_suite(suite, plugin, changes)
    settings = Settings(store, data)
    plan, records = plan_unopened(resolved, settings), Store(settings.store)
    with _progress(f"writing {file}", folder_size(records.root)) as advance:
        done = export_suite(plan, dict(resolved.datasets), records, file, weights, advance)
    for note in done.notes:
        tell(note)
    print(f"{file}: {done.records:,} records, {done.size / 1e6:,.1f} MB")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to import.")],
    store: StoreOption,
) -> None:
    """Import an archive made by `bench store export`.

    The whole archive is verified before anything is imported; intact records in the store are
    never replaced.
    """
    size = file.stat().st_size if file.is_file() else 0
    with _progress(f"reading {file}", size) as advance:
        done = import_archive(file, Store(store), advance)
    print(one_line(f"{done.suite}: {done.new:,} records imported, {done.there:,} already present"))
    for what in done.differ:
        tell(f"{what}: already stored with different numbers, which are kept")


@contextmanager
def _progress(step: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show progress in MB; yield a function to call with each number of bytes."""
    with make_display("auto") as show:
        show(events.StepStarted("store", step, total // 10**6, "MB"))
        done = 0

        def advance(size: int) -> None:
            nonlocal done
            before, done = done // 10**6, done + size
            show(events.StepAdvanced("store", done // 10**6 - before))

        yield advance
        show(events.StepFinished("store"))


def _needs(
    suites: Sequence[Path],
    plugin: Sequence[str],
    settings: Settings,
    make_plan: Callable[[ResolvedSuite, Settings], Plan] = plan_unopened,
) -> RequiredRecords:
    needs = RequiredRecords()
    for path in suites:
        resolved = load_suite(path, plugin)
        needs.add(make_plan(resolved, settings), Store(settings.store), dict(resolved.datasets))
    return needs
