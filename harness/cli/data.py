"""`bench data list`, `bench data fetch` and `bench data verify`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from harness.cli.arguments import DataOption, JsonOption, PluginOption

if TYPE_CHECKING:
    from harness.data.catalog import Item


SHOWN_DIGITS = 12
SPLITS = ("train", "test")

app = typer.Typer(help="Data sets: what is there, get more, verify.")

Names: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME|SUITE",
        help="Data sets, or all of a suite; without any, all.",
        show_default=False,
    ),
]
SomeNames: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="NAME|SUITE", help="Data sets, or all of a suite.", show_default=False),
]


@app.command("list")
def list_data(
    names: Names = None,
    plugin: PluginOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """List data sets: state, size, fingerprint, licence, home.

    converted: in the data folder. ready: its files are there or it needs none; converted when
    first used. missing: `bench data fetch` gets it or says how to.
    """
    from harness.cli.output import print_json, print_rows, tell
    from harness.data.catalog import describe, find_datasets
    from harness.data.folder import DataFolder
    from harness.settings import default_data

    folder = DataFolder(data or default_data())
    items = [describe(folder, item) for item in find_datasets(names or (), plugin or ())]
    if json:
        print_json([asdict(item) for item in items])
        return
    headers = ["name", "state", "example", "train", "test", "MB", "fingerprints"]
    print_rows([*headers, "home", "licence"], [_row(item) for item in items])
    for item in items:
        if item.state == "unusable":
            tell(f"{item.name}: {item.problem}")


def _row(item: Item) -> list[str]:
    counts = [f"{item.counts[split]:,}" if split in item.counts else "-" for split in SPLITS]
    prints = [item.fingerprints.get(split, "")[:SHOWN_DIGITS] for split in SPLITS]
    size = f"{item.size / 1e6:,.1f}" if item.size else "-"
    shown = " ".join(filter(None, prints)) or "-"
    return [item.name, item.state, item.shape, *counts, size, shown, item.home, item.licence]


@app.command("fetch")
def fetch_data(names: SomeNames, plugin: PluginOption = None, data: DataOption = None) -> None:
    """Download data sets, or say how to get them.

    Files are checked against published checksums; those that are there are kept.
    """
    from harness.cli.output import tell
    from harness.data.catalog import fetch, find_datasets

    components = find_datasets(names, plugin or ())
    problems = fetch(components, tell)
    for problem in problems:
        tell(problem)
    raise typer.Exit(1 if problems else 0)


@app.command("verify")
def verify_data(
    names: Names = None,
    plugin: PluginOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Read converted data sets in full and compare their checksums.

    Without names, all in the data folder. A damaged one is set aside, and converted again when
    it is next used.
    """
    from harness.cli.output import print_json, print_rows
    from harness.data.catalog import find_datasets, verify
    from harness.data.folder import DataFolder
    from harness.errors import NothingSelectedError
    from harness.settings import default_data

    folder = DataFolder(data or default_data())
    components = find_datasets(names, plugin or ()) if names else []
    found = list(verify(folder, components))
    if not found:
        raise NothingSelectedError(f"no converted data set in {folder.store.root} to verify")
    if json:
        print_json([asdict(item) for item in found])
    else:
        rows = [[item.name, f"{item.size / 1e6:,.1f}", item.problem or "ok"] for item in found]
        print_rows(["data set", "MB", "outcome"], rows)
    raise typer.Exit(1 if any(item.problem for item in found) else 0)
