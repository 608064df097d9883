"""`bench pin` and `bench verify`: values of a suite, written down and compared."""

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
from harness.regression.pins import pins_path, read_pins, write_pins
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.settings import Settings
from harness.store.layout import LOGS
from harness.suite import load_suite

if TYPE_CHECKING:
    from harness.regression.verify_pins import Verdict


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
    *,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
    device: DeviceOption = "auto",
    workers: WorkersOption = 0,
    display: Annotated[DisplayKind, typer.Option(help="How progress is shown.")] = "auto",
) -> None:
    """Write pins/SUITE.toml from what is stored.

    Runs SUITE again, in stores that are thrown away, with other batch sizes and numbers of
    threads: how far values are off then decides how far they may be off later. Prints what is
    different from the pins that were there.
    """
    # It takes PyTorch, which takes seconds: `--help` does not wait for it.
    from harness.regression.make_pins import changes, make_pins

    path = pins or pins_path(suite)
    settings = Settings(store, data, device, workers=workers)
    resolved = load_suite(suite, plugin)
    before = read_pins(path) if path.exists() else None
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
    """Compare what is stored of SUITE with its pins.

    Nothing is trained or evaluated: `bench run SUITE` first. What is stored was computed by the
    code of that day; a new --store is computed by that of today. Exit status: 3 if a value moved;
    1 if not, but a cell failed, is missing, or its settings are not those that were pinned.
    """
    # As above.
    from harness.regression.verify_pins import exit_status, unpinned, verify_pins

    read = read_pins(pins or pins_path(suite))
    resolved = load_suite(suite, plugin)
    settings = Settings(store, data)
    outcome = score_stored(plan_unopened(resolved, settings), settings, lambda event: None)
    verdicts = verify_pins(read, outcome.plan, outcome.results)
    if json:
        print_json([verdict.to_json() for verdict in verdicts])
    else:
        _print(verdicts)
    without = len(unpinned(read, outcome.plan))
    if without:
        tell(f"{without} cells of {suite} have no pin; bench pin {suite}")
    raise typer.Exit(exit_status(verdicts))


def _print(verdicts: Sequence[Verdict]) -> None:
    """What does not hold, each with its message, and how many do."""
    for verdict in verdicts:
        if verdict.state != "holds":
            found = verdict.to_json()
            print(f"{found['cell']}: {found['state']}\n  {found['message']}")
    held = sum(verdict.state == "holds" for verdict in verdicts)
    print(f"{held} of {len(verdicts)} pinned values hold")
