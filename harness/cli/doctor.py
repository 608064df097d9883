"""`bench doctor`: check that this machine can run suites."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.arguments import DATA_HELP, JsonOption, PluginOption, StoreOption
from harness.cli.output import print_json
from harness.maintenance.doctor import examine
from harness.text import one_line


def doctor(
    plugin: PluginOption,
    store: StoreOption,
    data: Annotated[
        Path | None, typer.Option("--data", help=DATA_HELP, show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Examine Python, torch, devices, folders and plugins.

    Prints a line for each finding, with advice if needed. Exit status 1 if runs would fail.
    """
    found = []
    for item in examine(store, data, plugin):
        found.append(item)
        if not json:
            advice = f"; {item.advice}" if item.advice else ""
            line = one_line(f"{item.what}: {item.found}{advice}")
            print(f"{item.state:<4} {line}", flush=True)
    if json:
        print_json(found)
    raise typer.Exit(1 if any(item.state == "bad" for item in found) else 0)
