"""The hooks that a plugin may implement: a table of contents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.plugin import Entry, hookspec

if TYPE_CHECKING:
    import typer

    from harness.events import CellFinished, EpochFinished, RunFinished, RunStarted


@hookspec
def bench_models() -> Iterable[Entry]:
    """Entries of density models: `target(domain, **options) -> DensityModel`."""
    return ()


@hookspec
def bench_datasets() -> Iterable[Entry]:
    """Entries of data sets: `target(**options) -> Dataset`."""
    return ()


@hookspec
def bench_statistics() -> Iterable[Entry]:
    """Entries of statistics: `target(**options) -> Statistic`."""
    return ()


@hookspec
def bench_scorers() -> Iterable[Entry]:
    """Entries of scorers: `target(**options) -> Scorer`."""
    return ()


@hookspec
def bench_executors() -> Iterable[Entry]:
    """Entries of executors: `target(**options) -> Executor`."""
    return ()


@hookspec
def bench_commands(app: typer.Typer) -> None:
    """Add commands to `bench`."""


@hookspec
def bench_run_started(event: RunStarted) -> None:
    """A run begins; a failure of this hook is logged and stops nothing."""


@hookspec
def bench_epoch_finished(event: EpochFinished) -> None:
    """A training epoch is over; a failure of this hook is logged and stops nothing."""


@hookspec
def bench_cell_finished(event: CellFinished) -> None:
    """A cell has its result; a failure of this hook is logged and stops nothing."""


@hookspec
def bench_run_finished(event: RunFinished) -> None:
    """A run is over; a failure of this hook is logged and stops nothing."""
