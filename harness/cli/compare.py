"""`bench compare`: two runs, cell by cell and scorer by scorer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from harness.cli.arguments import DataOption, JsonOption, OnlyOption, PluginOption, StoreOption
from harness.cli.output import print_json, print_rows
from harness.errors import NothingSelectedError
from harness.regression.compare import Compared, LeftOut, checked_names, compare_runs
from harness.regression.ranking import Ranking, rank_scorers
from harness.regression.runs import load_run
from harness.report.coverage import coverage
from harness.results import COLUMNS
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
    compared, left_out = compare_runs(a, b, checked_names(names, a, b))
    if not compared:
        reasons = ", ".join(sorted({item.reason for item in left_out})) or "A has no number"
        raise NothingSelectedError(f"no cell can be compared: {reasons}")
    ranking = rank_scorers(compared)
    if json:
        print_json(
            {
                "a": run_a,
                "b": run_b,
                "cells": [item.to_json() for item in compared],
                "left_out": [item.to_json() for item in left_out],
                "scorers": _counts(compared),
                "ranking": ranking and ranking.to_json(),
                "covers": _coverage(compared),
            }
        )
    else:
        print(f"A: {run_a}\nB: {run_b}\n")
        _print(compared, left_out, ranking)
    raise typer.Exit(_exit_status(compared, left_out) if fail_on else 0)


def _exit_status(compared: Sequence[Compared], left_out: Sequence[LeftOut]) -> int:
    if any(item.judgement == "worse" for item in compared):
        return REGRESSED
    return NOT_COMPARED if left_out else 0


def _counts(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    """Count wins, ties and losses for B, with the mean difference, by scorer."""
    rows = []
    for scorer in dict.fromkeys(item.cell.scorer for item in compared):
        own = [item for item in compared if item.cell.scorer == scorer]
        judgements = [item.judgement for item in own]
        rows.append(
            {
                "scorer": scorer,
                "win": judgements.count("better"),
                "tie": judgements.count("tie"),
                "loss": judgements.count("worse"),
                "mean_difference": sum(item.difference for item in own) / len(own),
            }
        )
    return rows


def _print(
    compared: Sequence[Compared], left_out: Sequence[LeftOut], ranking: Ranking | None
) -> None:
    apart = [item for item in compared if item.judgement != "tie"]
    if apart:
        rows = [[*item.cell[:-1], *_numbers(item)] for item in apart]
        print_rows([*COLUMNS[:-1], "A", "B", "B - A [95 %]", "p (Holm)", "B is"], rows)
        print()
    print(
        f"{len(apart)} of {len(compared)} places differ significantly (paired tests, "
        "Holm-corrected).\n" + "\n".join(_coverage(compared)) + "\n"
    )
    counts = [[*row.values()] for row in _counts(compared)]
    rows = [[*wins, f"{difference:+.4f}"] for *wins, difference in counts]
    print_rows(["scorer", "B wins", "ties", "B loses", "mean B - A"], rows)
    if ranking is not None:
        _print_ranking(ranking)
    for reason in dict.fromkeys(item.reason for item in left_out):
        count = sum(item.reason == reason for item in left_out)
        print(f"\nnot compared: {count} places: {reason}")


def _coverage(compared: Sequence[Compared]) -> list[str]:
    """Say what intervals and tests cover, in a sentence for each combination that occurs."""
    found = Counter((item.n_fit, item.trainings) for item in compared)
    if len(found) == 1:
        return [coverage(*next(iter(found)))]
    return [f"{count} places: {coverage(*sources)}" for sources, count in found.items()]


def _numbers(item: Compared) -> list[str]:
    interval = "-" if item.low is None else f"{item.low:+.4f}, {item.high:+.4f}"
    return [
        f"{item.auroc_a:.4f}",
        f"{item.auroc_b:.4f}",
        f"{item.difference:+.4f} [{interval}]",
        "-" if item.p_adjusted is None else f"{item.p_adjusted:.2g}",
        item.judgement,
    ]


def _print_ranking(ranking: Ranking) -> None:
    rows = [[run, scorer, f"{rank:.2f}"] for (run, scorer), rank in ranking.mean_ranks.items()]
    print()
    print_rows(["run", "scorer", "mean rank"], rows)
    print(
        f"Over {ranking.pairs} pairs of data sets, 1 the best; mean ranks differ if "
        f"{ranking.critical_difference:.2f} apart (Nemenyi, p = 0.05). Friedman's test of no "
        f"difference at all: p = {ranking.p_value:.2g}."
    )
