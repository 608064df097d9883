"""`bench doctor`: whether this machine has what runs need."""

from __future__ import annotations

import typer

from harness.cli.arguments import DataOption, JsonOption, PluginOption, StoreOption
from harness.cli.output import print_json
from harness.maintenance.doctor import examine
from harness.text import one_line


def doctor(
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
    json: JsonOption = False,
) -> None:
    """Look at Python, torch, torchvision, devices, folders and plugins.

    One line each, with what to do. Exit status 1 if runs would fail.
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
