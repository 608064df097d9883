"""`bench run`: compute everything in a suite that is not stored, and print the tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.cli.arguments import (
    DataOption,
    DeviceOption,
    ErrorsOption,
    OnlyOption,
    PluginOption,
    SetOption,
    StoreOption,
    SuitePath,
    WorkersOption,
)
from harness.cli.completion import complete_executors
from harness.cli.display.displays import DisplayKind
from harness.cli.display.session import session
from harness.plan.costs import scorer_costs
from harness.plan.expand import select
from harness.report.render.digest import MOST_CELLS
from harness.report.render.formats import render
from harness.report.render.ranking import render_ranking
from harness.report.render.terminal import wrapped
from harness.report.summary import summary
from harness.run.outcome import Outcome
from harness.run.prepare import fetch_missing
from harness.scoring.baselines import baseline_names
from harness.settings import BATCH_SIZE, Settings
from harness.store.layout import LOGS
from harness.store.records import Store
from harness.suite import load_suite

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
    batch_size: Annotated[
        int, typer.Option(min=1, help="Examples evaluated at once; changes rounding only.")
    ] = BATCH_SIZE,
    workers: WorkersOption = 0,
    threads: Annotated[
        int, typer.Option(min=0, help="Threads per process; 0: $OMP_NUM_THREADS, or chosen.")
    ] = 0,
    compile: Annotated[
        bool, typer.Option("--compile", help="Train through torch.compile, where possible.")
    ] = False,
    executor: Annotated[
        str,
        typer.Option(help="See: bench list executors.", autocompletion=complete_executors),
    ] = "auto",
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Run the cells with available data.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Download missing data sets first.")
    ] = False,
    display: Annotated[DisplayKind, typer.Option(help="How progress is shown.")] = "auto",
    errors: ErrorsOption = False,
) -> None:
    """Train, evaluate and score a suite.

    Prints the AUROC tables and, for many scorers, a ranking. The same command again resumes:
    stored work is not repeated.
    """
    # Imported here, because importing PyTorch takes seconds and `--help` should not wait.
    from harness.run.run import run as run_suite

    settings = Settings(
        store=store,
        data=data,
        device=device,
        batch_size=batch_size,
        workers=workers,
        threads=threads,
        compile=compile,
        executor=executor,
    )
    resolved = select(load_suite(suite, plugin, changes), only)
    log = settings.store / LOGS / f"{resolved.name}.log"
    with session(resolved.registry, display, log) as report:
        if download:
            fetch_missing(resolved, settings.data, report)
        outcome = run_suite(resolved, settings, report, allow_missing)
    _print_report(outcome, settings.store, resolved.title, errors)
    if outcome.exit_status:
        also = f" and {log}" if log.exists() else ""  # a read-only store has no log
        sys.stderr.write(f"some cells have no number; see the notes above{also}\n")
    raise typer.Exit(outcome.exit_status)


def _print_report(outcome: Outcome, store: Path, title: str, errors: bool) -> None:
    console, name = Console(), outcome.plan.suite
    tables = render(
        outcome.results,
        suite=name,
        title=title,
        format="table",
        standard_errors=errors,
        console=console,
    )
    sys.stdout.write(tables + "\n")
    scorers = {result.cell.scorer for result in outcome.results}
    if len(scorers) >= RANKED_FROM and len(outcome.results) <= MOST_CELLS:
        costs = scorer_costs(outcome.plan, Store(store))
        ranking = render_ranking(
            outcome.results, costs, suite=name, title="", format="table", console=console
        )
        sys.stdout.write(ranking.lstrip("\n") + "\n")
    sys.stdout.write(wrapped(summary(outcome.results, baseline_names(outcome.plan)), console))
