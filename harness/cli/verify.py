"""`bench verify`: compare what is stored with the pins."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from harness.cli.arguments import DataOption, JsonOption, PluginOption, StoreOption, SuitePath
from harness.cli.pin import PinsOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.pins import Verdict


def verify(
    suite: SuitePath,
    pins: PinsOption = None,
    plugin: PluginOption = None,
    store: StoreOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Compare what is stored of SUITE with its pins.

    Nothing is trained or evaluated: `bench run SUITE` first. What is stored was computed by the
    code of that day; a new --store is computed by that of today. Exit status: 3 if a value moved;
    1 if not, but a cell failed, is missing, or its settings are not those that were pinned.
    """
    from harness.cli.output import print_json
    from harness.pins import exit_status, pins_path, read_pins, unpinned, verify_pins
    from harness.runner import find_plan, score
    from harness.settings import Settings, default_data, default_store
    from harness.suite import load_suite

    read = read_pins(pins or pins_path(suite))
    resolved = load_suite(suite, plugin or ())
    settings = Settings(store=store or default_store(), data=data or default_data())
    outcome = score(find_plan(resolved, settings), settings, lambda event: None)
    verdicts = verify_pins(read, outcome.plan, outcome.results)
    if json:
        print_json([verdict.to_json() for verdict in verdicts])
    else:
        _print(verdicts)
    without = len(unpinned(read, outcome.plan))
    if without:
        print(f"{without} cells of {suite} have no pin; bench pin {suite}", file=sys.stderr)
    raise typer.Exit(exit_status(verdicts))


def _print(verdicts: Sequence[Verdict]) -> None:
    """What does not hold, each with its message, and how many do."""
    for verdict in verdicts:
        if verdict.state != "holds":
            found = verdict.to_json()
            print(f"{found['cell']}: {found['state']}\n  {found['message']}")
    held = sum(verdict.state == "holds" for verdict in verdicts)
    print(f"{held} of {len(verdicts)} pinned values hold")
