"""`bench plan`: list the stored and the new work in a suite, with reasons and estimates."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.api.suites import load
from harness.cli.arguments import (
    DataOption,
    JsonOption,
    OnlyOption,
    PluginOption,
    SetOption,
    StoreOption,
    SuitePath,
)
from harness.cli.output import print_json


def plan(
    suite: SuitePath,
    why: Annotated[bool, typer.Option("--why", help="Give the reason for each new job.")] = False,
    *,
    only: OnlyOption,
    changes: SetOption,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
    json: JsonOption = False,
) -> None:
    """List stored and new work.

    Lists jobs and cells in SUITE; with --why, the reason for each new job. Estimates the time.
    """
    found = load(suite, plugin, changes, only).plan(store=store, data=data, why=why)
    if json:
        print_json(found.to_dict())
    else:
        print(found, end="")
