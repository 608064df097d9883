"""Arguments and options shared by several commands.

Options with a `default_factory` have no default in the signature of a command and follow a `*`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from harness.cli.completion import complete_suites
from harness.cli.display.displays import DisplayKind
from harness.settings import (
    DATA_VARIABLE,
    STORE_VARIABLE,
    LocksChoice,
    default_data,
    default_store,
)


def _remember_data(data: Path) -> Path:
    """Set the data folder in the environment, for data sets here and in worker processes."""
    if str(data) != os.environ.get(DATA_VARIABLE):
        os.environ[DATA_VARIABLE] = str(data.absolute())
    return data


def _remember_store(store: Path) -> Path:
    """Set the default store in the environment, also for the log of internal errors."""
    if store != default_store():
        os.environ[STORE_VARIABLE] = str(store.absolute())
    return store


DATA_HELP = "Data folder; $BENCH_DATA, else the user's data folder."
SuitePath: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="SUITE",
        help="A suite: a TOML file, or a name in `bench list suites`.",
        autocompletion=complete_suites,
        show_default=False,
    ),
]
PluginOption: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "-p",
        "--plugin",
        metavar="PATH|MODULE|no:NAME",
        help="Load a plugin file or module, or block a plugin.",
        default_factory=list,
        show_default=False,
    ),
]
StoreOption: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--store",
        help="Store for results; $BENCH_STORE, else ./bench-store.",
        callback=_remember_store,
        default_factory=default_store,
        show_default=False,
    ),
]
DataOption: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--data",
        help=DATA_HELP,
        callback=_remember_data,
        default_factory=default_data,
        show_default=False,
    ),
]
DeviceOption: TypeAlias = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1 ...; auto takes a GPU if available.")
]
WorkersOption: TypeAlias = Annotated[int, typer.Option(min=0, help="Processes; 0 chooses.")]
BatchSizeOption: TypeAlias = Annotated[
    int, typer.Option(min=1, help="Examples evaluated at once; changes rounding only.")
]
ThreadsOption: TypeAlias = Annotated[
    int, typer.Option(min=0, help="Threads per process; 0: $OMP_NUM_THREADS, else chosen.")
]
CompileOption: TypeAlias = Annotated[
    bool, typer.Option("--compile", help="Train through torch.compile, where possible.")
]
AllowMissingOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-missing", help="Compute the cells whose data are available; leave out others."
    ),
]
LocksOption: TypeAlias = Annotated[
    LocksChoice,
    typer.Option(
        help="Locks of the operating system, or leases for network file systems; auto keeps the "
        "kind that the store has, else chooses by file system."
    ),
]
DisplayOption: TypeAlias = Annotated[DisplayKind, typer.Option(help="How progress is shown.")]
ErrorsOption: TypeAlias = Annotated[
    bool, typer.Option("--errors", help="Show standard errors in the tables.")
]
OnlyOption: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--only",
        metavar="KEY=VALUE",
        help="Select cells by model, in, out, scorer, epoch, group_size or seed; values for one "
        "key are alternatives, different keys combine.",
        default_factory=list,
        show_default=False,
    ),
]
SetOption: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a value of the suite, as in training.NAME.learning_rate=3e-3; repeatable.",
        default_factory=list,
        show_default=False,
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
