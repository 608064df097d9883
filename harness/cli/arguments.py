"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from harness.settings import DATA_VARIABLE, STORE_VARIABLE


def _remember_data(data: Path | None) -> Path | None:
    """Let data sets, in worker processes too, seek their raw files in the folder named."""
    if data is not None:
        os.environ[DATA_VARIABLE] = str(data.absolute())
    return data


def _remember_store(store: Path | None) -> Path | None:
    """Let whatever asks for the default store get the one named, an internal error's log too."""
    if store is not None:
        os.environ[STORE_VARIABLE] = str(store.absolute())
    return store


SuitePath: TypeAlias = Annotated[
    Path, typer.Argument(metavar="SUITE", help="A suite: a TOML file.", show_default=False)
]
PluginOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--plugin",
        metavar="PATH|MODULE|no:NAME",
        help="Take in a plugin file or module, or block a plugin.",
    ),
]
StoreOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--store",
        help="Store of results; $BENCH_STORE, else ./bench-store.",
        callback=_remember_store,
    ),
]
DataOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Data folder; $BENCH_DATA, else the user's data folder.",
        callback=_remember_data,
    ),
]
DeviceOption: TypeAlias = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1 ...; auto takes a GPU if there is one.")
]
OnlyOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="KEY=VALUE",
        help="Take a part of the suite: model, in, out, scorer, epoch, group_size or seed; "
        "values of one key are alternatives, keys combine.",
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
