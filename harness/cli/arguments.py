"""Arguments and options that several commands share.

Those with a `default_factory` have no default in a command's signature: they follow a `*`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from harness.settings import DATA_VARIABLE, STORE_VARIABLE, default_data, default_store


def _remember_data(data: Path) -> Path:
    """Let data sets, in worker processes too, seek their raw files in the folder named."""
    if data != default_data():
        os.environ[DATA_VARIABLE] = str(data.absolute())
    return data


def _remember_store(store: Path) -> Path:
    """Let whatever asks for the default store get the one named, an internal error's log too."""
    if store != default_store():
        os.environ[STORE_VARIABLE] = str(store.absolute())
    return store


SuitePath: TypeAlias = Annotated[
    Path, typer.Argument(metavar="SUITE", help="A suite: a TOML file.", show_default=False)
]
PluginOption: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "-p",
        "--plugin",
        metavar="PATH|MODULE|no:NAME",
        help="Take in a plugin file or module, or block a plugin.",
        default_factory=list,
        show_default=False,
    ),
]
StoreOption: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--store",
        help="Store of results; $BENCH_STORE, else ./bench-store.",
        callback=_remember_store,
        default_factory=default_store,
        show_default=False,
    ),
]
DataOption: TypeAlias = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Data folder; $BENCH_DATA, else the user's data folder.",
        callback=_remember_data,
        default_factory=default_data,
        show_default=False,
    ),
]
DeviceOption: TypeAlias = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1 ...; auto takes a GPU if there is one.")
]
WorkersOption: TypeAlias = Annotated[int, typer.Option(min=0, help="Processes; 0 chooses.")]
ErrorsOption: TypeAlias = Annotated[bool, typer.Option("--errors", help="Show standard errors.")]
OnlyOption: TypeAlias = Annotated[
    list[str],
    typer.Option(
        "--only",
        metavar="KEY=VALUE",
        help="Take a part of the suite: model, in, out, scorer, epoch, group_size or seed; "
        "values of one key are alternatives, keys combine.",
        default_factory=list,
        show_default=False,
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
