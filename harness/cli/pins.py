"""`bench pin` and `bench verify`: write down the values in a suite, and compare later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from harness.cli.arguments import (
    DataOption,
    DeviceOption,
    JsonOption,
    PluginOption,
    StoreOption,
    SuitePath,
    WorkersOption,
)
from harness.cli.display.displays import DisplayKind
from harness.cli.display.session import session
from harness.cli.output import print_json, tell
from harness.errors import NothingStoredError
from harness.regression.pins import pins_path, read_pins, read_pins_of, write_pins
from harness.run.command import run_command
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.settings import Settings
from harness.store.layout import LOGS
from harness.suite import load_suite

if TYPE_CHECKING:
    from harness.regression.verify_pins import Verdict


PinsOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--pins", metavar="FILE", help="The pin file; pins/SUITE.toml by default."),
]


def pin(
    suite: SuitePath,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            min=0.0,
            max=1.0,
            help="Tolerance for every AUROC, without re-runs; by default two re-runs decide.",
        ),
    ] = None,
    pins: PinsOption = None,
    *,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
    device: DeviceOption = "auto",
    workers: WorkersOption = 0,
    display: Annotated[DisplayKind, typer.Option(help="How progress is shown.")] = "auto",
) -> None:
    """Write pins/SUITE.toml from stored results.

    Runs SUITE twice more, in temporary stores, with other batch sizes and thread counts: the
    largest difference between runs decides how far a value may move later. Prints the changes
    from the previous pins. Never replaces the pins of another suite.
    """
    # Imported here, because importing PyTorch takes seconds and `--help` should not wait.
    from harness.regression.make_pins import changes, make_pins

    path = pins or pins_path(suite)
    settings = Settings(store, data, device, workers=workers)
    resolved = load_suite(suite, plugin)
    before = read_pins_of(suite, path) if path.exists() else None
    log = settings.store / LOGS / f"{resolved.name}.log"
    with session(resolved.registry, display, log) as report:
        made, problems = make_pins(resolved, settings, report, tolerance)
    for line in changes(before, made):
        print(line)
    write_pins(path, made)
    tell(f"{path}: {len(made.pins)} pins")
    for problem in problems:
        tell(f"not pinned: {problem}")
    raise typer.Exit(1 if problems else 0)


def verify(
    suite: SuitePath,
    pins: PinsOption = None,
    *,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
    json: JsonOption = False,
) -> None:
    """Compare stored results of SUITE with the pins.

    Nothing is trained or evaluated: use `bench run SUITE` first. Stored results come from the code
    at the time of the run; use a new --store to test the present code. Exit status: 3 if a value
    moved; otherwise 1 if a cell failed or is missing, or if settings differ from the pinned
    settings.
    """
    # Imported here for the same reason.
    from harness.regression.verify_pins import exit_status, unpinned, verify_pins

    resolved = load_suite(suite, plugin)
    read = read_pins(pins) if pins else read_pins_of(suite, pins_path(suite))
    settings = Settings(store, data)
    outcome = score_stored(plan_unopened(resolved, settings), settings, lambda event: None)
    verdicts = verify_pins(read, outcome.plan, outcome.results)
    if json:
        print_json([verdict.to_json() for verdict in verdicts])
    else:
        _print(verdicts)
    if not outcome.results:
        tell(str(NothingStoredError(str(suite), store, run_command(resolved, settings))))
    without = len(unpinned(read, outcome.plan, outcome.results))
    if without:
        tell(f"{without} cells of {suite} have no pin; bench pin {suite}")
    raise typer.Exit(exit_status(verdicts))


def _print(verdicts: Sequence[Verdict]) -> None:
    """Print the pins that do not hold, with messages, and the number of pins that hold."""
    for verdict in verdicts:
        if verdict.state != "holds":
            found = verdict.to_json()
            print(f"{found['cell']}: {found['state']}\n  {found['message']}")
    held = sum(verdict.state == "holds" for verdict in verdicts)
    print(f"{held} of {len(verdicts)} pinned values hold")
