"""`bench pin`: write the values of a suite's cells down, for `bench verify` and pytest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from harness.cli.arguments import (
    DataOption,
    DeviceOption,
    PluginOption,
    StoreOption,
    SuitePath,
)
from harness.console import DisplayKind
from harness.settings import Settings, default_data, default_store

PinsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--pins", metavar="FILE", help="The pins; pins/SUITE.toml by default."),
]


def pin(
    suite: SuitePath,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            min=0.0,
            max=1.0,
            help="Of every AUROC, and no re-runs; by default from the spread of two re-runs.",
        ),
    ] = None,
    pins: PinsOption = None,
    plugin: PluginOption = None,
    store: StoreOption = None,
    data: DataOption = None,
    device: DeviceOption = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 chooses.")] = 0,
    display: Annotated[DisplayKind, typer.Option(help="How progress is shown.")] = "auto",
) -> None:
    """Write pins/SUITE.toml from what is stored.

    Runs SUITE again, in stores that are thrown away, with other batch sizes and numbers of
    threads: how far values are off then decides how far they may be off later. Prints what is
    different from the pins that were there.
    """
    from harness.cli.session import session
    from harness.pins import changes, make_pins, pins_path, read_pins, write_pins
    from harness.suite import load_suite

    path = pins or pins_path(suite)
    settings = Settings(
        store=store or default_store(),
        data=data or default_data(),
        device=device,
        workers=workers,
    )
    resolved = load_suite(suite, plugin or ())
    before = read_pins(path) if path.exists() else None
    log = settings.store / "logs" / f"{resolved.name}.log"
    with session(resolved.registry, display, log) as report:
        made, problems = make_pins(resolved, settings, report, tolerance)
    for line in changes(before, made):
        print(line)
    write_pins(path, made)
    print(f"{path}: {len(made.pins)} pins", file=sys.stderr)
    for problem in problems:
        print(f"not pinned: {problem}", file=sys.stderr)
    raise typer.Exit(1 if problems else 0)
