"""`bench check`: try everything in a suite at true size, without data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from harness.cli.arguments import (
    DataOption,
    DeviceOption,
    JsonOption,
    OnlyOption,
    PluginOption,
    SetOption,
    StoreOption,
    SuitePath,
    ThreadsOption,
)
from harness.cli.output import print_items, tell
from harness.compute.device import find_device, thread_count
from harness.plan.expand import make_plan, select
from harness.results import STATUS_WORDS
from harness.settings import Settings, share_processors
from harness.store.records import Store
from harness.suite import load_suite

if TYPE_CHECKING:
    from harness.compute.dry_run import Checked


def check(
    suite: SuitePath,
    only: OnlyOption,
    changes: SetOption,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    json: JsonOption = False,
) -> None:
    """Try a suite at true size without data.

    Builds every model in SUITE, and runs all statistics and scorers on random images. The
    measured times let `bench plan` estimate durations.
    """
    # Imported here, because importing PyTorch takes seconds and `--help` should not wait.
    from harness.compute.dry_run import check_suite

    resolved = select(load_suite(suite, plugin, changes), only)
    plan = make_plan(resolved, {})
    settings = Settings(store, data, device, workers=1, threads=threads)
    _, count = share_processors(settings, chains=1)
    found = []
    with thread_count(count):
        for item in check_suite(resolved, plan, Store(store), find_device(device)):
            tell(f"{item.what}: {_outcome(item)}")
            found.append(item)
    print_items(
        found,
        ["checked", "outcome", "seconds", "detail"],
        lambda item: [item.what, _outcome(item), f"{item.seconds:.2f}", item.detail],
        json,
    )
    raise typer.Exit(1 if any(item.problem for item in found) else 0)


def _outcome(item: Checked) -> str:
    if item.unsupported:
        return f"{STATUS_WORDS['unsupported']}: {item.unsupported}"
    if item.missing:
        return f"{STATUS_WORDS['missing_data']}: {item.missing}"
    return item.problem or "ok"
