"""`bench data list`, `bench data fetch` and `bench data verify`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from harness.cli.arguments import DataOption, JsonOption, PluginOption
from harness.cli.completion import complete_datasets
from harness.cli.output import print_items, tell
from harness.data.catalog import Item, describe, fetch, find_datasets
from harness.data.folder import DataFolder
from harness.data.verification import verify
from harness.errors import NothingSelectedError

SHOWN_DIGITS = 12
SPLITS = ("train", "test")

Names: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME|SUITE",
        help="Data sets, or all in a suite; by default, all.",
        autocompletion=complete_datasets,
        show_default=False,
    ),
]
SomeNames: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME|SUITE",
        help="Data sets, or all in a suite.",
        autocompletion=complete_datasets,
        show_default=False,
    ),
]


def list_data(
    names: Names = None,
    *,
    plugin: PluginOption,
    data: DataOption,
    json: JsonOption = False,
) -> None:
    """List data sets: state, size, fingerprint, licence, home.

    converted: stored in the data folder. ready: the files are available or no files are needed;
    converted when first used. missing: `bench data fetch` downloads the files or explains how to
    get them. Notes name copies of images, splits without contrast and files passed over.
    """
    folder = DataFolder(data)
    items = [describe(folder, item) for item in find_datasets(names or (), plugin)]
    headers = ["name", "state", "example", "train", "test", "MB", "fingerprints"]
    print_items(items, [*headers, "home", "licence"], _row, json)
    for item in () if json else items:
        if item.state == "unusable":
            tell(f"{item.name}: {item.problem}")
        for note in item.notes:
            tell(f"Note: {note}")


def _row(item: Item) -> list[str]:
    counts = [f"{item.counts[split]:,}" if split in item.counts else "-" for split in SPLITS]
    prints = [item.fingerprints.get(split, "")[:SHOWN_DIGITS] for split in SPLITS]
    size = f"{item.size / 1e6:,.1f}" if item.size else "-"
    shown = " ".join(filter(None, prints)) or "-"
    return [item.name, item.state, item.shape, *counts, size, shown, item.home, item.licence]


def fetch_data(names: SomeNames, plugin: PluginOption, data: DataOption) -> None:
    """Download data sets, or explain how to get them.

    Files are checked against published checksums; existing files are kept.
    """
    components = find_datasets(names, plugin)
    problems = fetch(components, tell)
    for problem in problems:
        tell(problem)
    raise typer.Exit(1 if problems else 0)


def verify_data(
    names: Names = None,
    *,
    plugin: PluginOption,
    data: DataOption,
    json: JsonOption = False,
) -> None:
    """Verify converted data sets by checksums and raw data.

    Reads the named data sets in full, or without names all data sets in the data folder, and reads
    the raw data again where present (minutes for large data sets). A data set that is damaged or
    differs from the raw data is set aside and converted again when next used.
    """
    folder = DataFolder(data)
    components = find_datasets(names, plugin) if names else []
    found = list(verify(folder, components, plugin))
    if not found:
        raise NothingSelectedError(f"no converted data set in {folder.store.root} to verify")
    print_items(
        found,
        ["data set", "MB", "outcome", "raw data"],
        lambda item: [item.name, f"{item.size / 1e6:,.1f}", item.problem or "ok", item.source],
        json,
    )
    for item in () if json else found:
        for note in item.notes:
            tell(f"Note: {item.name}: {note}")
    raise typer.Exit(1 if any(item.problem for item in found) else 0)
