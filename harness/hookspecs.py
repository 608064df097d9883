"""Hooks that a plugin may implement; `hookimpl` and `Entry`, by which it registers itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from harness.events import CellFinished, EpochFinished, RunFinished, RunStarted


PROJECT = "bench"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class Entry:
    """A model, data set, statistic, scorer or executor, named but not yet imported.

    Attributes:
        name: What suites call it.
        target: `"package.module:attribute"`, or `":attribute"` for one in the module that holds
            the hook. The attribute is a class or a function that returns the object; its
            parameters are the options, their annotations the types that options are checked
            against, its docstring's "Arguments" section their meaning.
        summary: One line for listings.
        version: Part of every key: change it when the numbers change. Left empty, it is the
            distribution's version, or the hash of a plugin given as a file.
    """

    name: str
    target: str
    summary: str
    version: str = ""


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
