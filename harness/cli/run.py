"""`bench run`: compute everything in a suite that is not stored, and print the tables."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from harness.api.results import Results
from harness.api.suites import load
from harness.cli.arguments import (
    AllowMissingOption,
    BatchSizeOption,
    CompileOption,
    DataOption,
    DeviceOption,
    DisplayOption,
    ErrorsOption,
    LocksOption,
    OnlyOption,
    PluginOption,
    SetOption,
    StoreOption,
    SuitePath,
    ThreadsOption,
    WorkersOption,
)
from harness.cli.completion import complete_executors
from harness.report.render.digest import MOST_CELLS
from harness.report.render.terminal import wrapped
from harness.settings import BATCH_SIZE
from harness.store.layout import LOGS

RANKED_FROM = 5
"""Minimum number of scorers to print a ranking below the tables; a digest always has a ranking."""


def run(
    suite: SuitePath,
    only: OnlyOption,
    changes: SetOption,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
    device: DeviceOption = "auto",
    batch_size: BatchSizeOption = BATCH_SIZE,
    workers: WorkersOption = 0,
    threads: ThreadsOption = 0,
    compile: CompileOption = False,
    executor: Annotated[
        str,
        typer.Option(
            help="How workers are started; see bench list executors.",
            autocompletion=complete_executors,
        ),
    ] = "auto",
    locks: LocksOption = "auto",
    allow_missing: AllowMissingOption = False,
    download: Annotated[
        bool, typer.Option("--download", help="Download missing data sets first.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the script that the executor would submit, and run nothing."
        ),
    ] = False,
    display: DisplayOption = "auto",
    errors: ErrorsOption = False,
) -> None:
    """Train, evaluate and score a suite.

    Prints the AUROC tables and, for many scorers, a ranking. After an interruption or a change of
    the suite, the same command does only the work that is not stored.
    """
    loaded = load(suite, plugin, changes, only)
    how: dict[str, Any] = {
        "store": store,
        "data": data,
        "device": device,
        "batch_size": batch_size,
        "workers": workers,
        "threads": threads,
        "compile": compile,
        "executor": executor,
    }
    if dry_run:
        sys.stdout.write(loaded.script(**how))
        return
    results = loaded.run(
        **how, locks=locks, allow_missing=allow_missing, download=download, display=display
    )
    _print_report(results, errors)
    status = results.outcome.exit_status
    if status:
        log = store / LOGS / f"{results.outcome.plan.suite}.log"
        also = f" and {log}" if log.exists() else ""  # a read-only store has no log
        sys.stderr.write(f"some cells have no number; see the notes above{also}\n")
    raise typer.Exit(status)


def _print_report(results: Results, errors: bool) -> None:
    console = Console()
    found = results.outcome.results
    sys.stdout.write(results.text(standard_errors=errors, console=console) + "\n")
    scorers = {result.cell.scorer for result in found}
    if len(scorers) >= RANKED_FROM and len(found) <= MOST_CELLS:
        ranking = results.text("scorers", title="", console=console)
        sys.stdout.write(ranking.lstrip("\n") + "\n")
    sys.stdout.write(wrapped(results.summary(), console))
