"""Hooks for plugins to implement; `hookimpl` and `Entry`, for registration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pluggy

from harness.domain import Domain, Examples

if TYPE_CHECKING:
    import typer

    from harness.events import CellFinished, EpochFinished, RunFinished, RunStarted

Read: TypeAlias = Callable[[], tuple[Sequence[str], Examples]]
"""Function that reads a file: names of the examples, and the examples, (N, *domain.shape)."""
Inputs: TypeAlias = tuple[Sequence[tuple[str, Read]], Sequence[str]]
"""Inputs of a detector: for each file its name and a function that reads it; and remarks, for
example on files that were passed over."""


PROJECT = "bench"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class Entry:
    """A model, data set, statistic, scorer or executor, named but not yet imported.

    Attributes:
        name: Name in suites.
        target: `"package.module:attribute"`, or `":attribute"` for an attribute of the module with
            the hook. The attribute is a class or a function that returns the object; the
            parameters are the options, the annotations are the types for checking options, and
            the "Arguments" section of the docstring gives the meaning of each option.
        summary: A line for listings.
        version: Part of every key: change the version when the numbers change. The default is the
            version of the distribution, or the hash of a plugin given as a file.
        added: Options that came after results had been stored, each with a neutral value. With
            the neutral value an object computes what it computed before the option existed, so
            keys omit the option, and stored results are still found.

    Example:
        >>> from oodbench import Entry, hookimpl
        >>> @hookimpl
        ... def bench_scorers():
        ...     return [Entry("typicality", "my_scorers:Typicality", "distance to the mean")]
        >>> [entry.name for entry in bench_scorers()]
        ['typicality']
    """

    name: str
    target: str
    summary: str
    version: str = ""
    added: Mapping[str, Any] = field(default_factory=dict, hash=False)


@hookspec
def bench_models() -> Iterable[Entry]:
    """Density model entries: `target(domain, **options) -> DensityModel`."""
    return ()


@hookspec
def bench_datasets() -> Iterable[Entry]:
    """Data set entries: `target(**options) -> Dataset`."""
    return ()


@hookspec
def bench_statistics() -> Iterable[Entry]:
    """Statistic entries: `target(**options) -> Statistic`."""
    return ()


@hookspec
def bench_scorers() -> Iterable[Entry]:
    """Scorer entries: `target(**options) -> Scorer`."""
    return ()


@hookspec
def bench_executors() -> Iterable[Entry]:
    """Executor entries: `target(**options) -> Executor`."""
    return ()


@hookspec
def bench_inputs(paths: Sequence[Path], domain: Domain, resize: bool) -> Inputs | None:
    """Find a detector's inputs, pairs of name and reading function, and remarks; or None.

    None means that another plugin reads the domain. The function returns the names of the examples
    in a file, and the examples, `domain.dtype`, (N, *domain.shape). The name of a file is the name
    of its only example if examples of several files form a group; under any other names the
    examples of a file form groups of their own. The function raises `DataError` for a file that
    cannot be read, or that has no examples of the domain; with `resize`, files of another size are
    converted as in a data set. A path without inputs is an input too: its function raises the
    error.
    """
    return None


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
