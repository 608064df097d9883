"""`bench compare`: two runs, cell by cell and scorer by scorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from harness.api.compared import ComparedRuns
from harness.cli.arguments import DataOption, JsonOption, OnlyOption, PluginOption, StoreOption
from harness.cli.output import print_json
from harness.regression.compare import Compared, LeftOut, checked_names
from harness.regression.runs import load_run
from harness.settings import Settings

REGRESSED, NOT_COMPARED = 3, 1


def compare(
    run_a: Annotated[
        str,
        typer.Argument(
            metavar="RUN_A",
            help="A suite, scored from the store; or the saved results from a run, "
            "STORE/results/SUITE.",
            show_default=False,
        ),
    ],
    run_b: Annotated[
        str,
        typer.Argument(metavar="RUN_B", help="The run to compare with RUN_A.", show_default=False),
    ],
    fail_on: Annotated[
        Literal["worse"] | None,
        typer.Option(
            "--fail-on",
            help="Exit status 3 if B is worse than A in a cell; otherwise 1 if some cells in A "
            "could not be compared.",
        ),
    ] = None,
    *,
    names: Annotated[
        list[str],
        typer.Option(
            "--map",
            metavar="OLD=NEW",
            help="Compare OLD in RUN_A with NEW in RUN_B: a model, data set or scorer.",
            default_factory=list,
            show_default=False,
        ),
    ],
    only: OnlyOption,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
    json: JsonOption = False,
) -> None:
    """Compare two runs on the examples in both.

    Differences are B minus A, means over the seeds, with paired intervals and tests,
    Holm-corrected over all places. Wins, ties and losses for B by scorer follow, then the mean
    rank for each scorer in both runs. The seeds of both runs may differ.
    """
    settings = Settings(store, data)
    a, b = (load_run(name, plugin, settings, only) for name in (run_a, run_b))
    found = ComparedRuns(a, b, checked_names(names, a, b))
    if json:
        print_json(found.to_dict())
    else:
        print(found, end="")
    raise typer.Exit(_exit_status(found.cells, found.left_out) if fail_on else 0)


def _exit_status(compared: Sequence[Compared], left_out: Sequence[LeftOut]) -> int:
    if any(item.judgement == "worse" for item in compared):
        return REGRESSED
    return NOT_COMPARED if left_out else 0
