"""Two runs, scorers or models compared, place by place and scorer by scorer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from harness.api.shown import Shown
from harness.errors import NothingSelectedError
from harness.regression.compare import Compared, LeftOut, Names, compare_runs
from harness.regression.ranking import Ranking, rank_scorers
from harness.regression.runs import Run
from harness.report.notes import coverage
from harness.results import COLUMNS, likelihoods_in_words, unit_of
from harness.text import columns_text


class ComparedRuns(Shown):
    """The paired tests of run B against run A: differences of AUROC are B minus A.

    Arguments:
        a: Run A.
        b: Run B.
        names: Names of run A that have another name in run B.

    Attributes:
        cells: The compared places, means over the seeds, with `judgement` for B.
        left_out: The places of A that cannot be compared, with the reason.

    Raises:
        NothingSelectedError: No cell can be compared.
    """

    def __init__(self, a: Run, b: Run, names: Names) -> None:
        self.cells, self.left_out = compare_runs(a, b, names)
        if not self.cells:
            reasons = ", ".join(sorted({item.reason for item in self.left_out}))
            raise NothingSelectedError(f"no cell can be compared: {reasons or 'A has no number'}")
        self._names = {"a": a.name, "b": b.name}
        self._likelihoods = {"a": _likelihoods(a), "b": _likelihoods(b)}
        self._ranking = rank_scorers(self.cells, names)
        self._unit = unit_of([*a.results.values(), *b.results.values()])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-like values, as printed by `bench compare --json`."""
        return {
            **self._names,
            "likelihoods": self._likelihoods,
            "cells": [item.to_json() for item in self.cells],
            "left_out": [item.to_json() for item in self.left_out],
            "scorers": _counts(self.cells),
            "ranking": self._ranking and self._ranking.to_json(),
            "covers": _coverage(self.cells),
        }

    def __str__(self) -> str:
        """Return the text printed by `bench compare`."""
        head = [
            "; ".join(filter(None, [f"{side.upper()}: {name}", likelihoods_in_words(kinds)]))
            for (side, name), kinds in zip(
                self._names.items(), self._likelihoods.values(), strict=True
            )
        ]
        lines = _lines(self.cells, self.left_out, self._ranking, self._unit)
        return "\n".join([*head, "", *lines]) + "\n"


def _likelihoods(run: Run) -> dict[str, str]:
    """Map the name of each model with a known kind of likelihood to that kind."""
    return {x.cell.model: x.likelihood for x in run.results.values() if x.likelihood is not None}


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


def _lines(
    compared: Sequence[Compared], left_out: Sequence[LeftOut], ranking: Ranking | None, unit: str
) -> Iterator[str]:
    apart = [item for item in compared if item.judgement != "tie"]
    if apart:
        rows = [[*item.cell[:-1], *_numbers(item)] for item in apart]
        places = [unit if name == "epoch" else name for name in COLUMNS[:-1]]
        yield columns_text([*places, "A", "B", "B - A [95 %]", "p (Holm)", "B is"], rows)
    yield (
        f"{len(apart)} of {len(compared)} places differ significantly (paired tests, "
        "Holm-corrected)."
    )
    yield from [*_coverage(compared), ""]
    counts = [[*row.values()] for row in _counts(compared)]
    rows = [[*wins, f"{difference:+.4f}"] for *wins, difference in counts]
    yield columns_text(["scorer", "B wins", "ties", "B loses", "mean B - A"], rows).rstrip("\n")
    if ranking is not None:
        yield from _ranked(ranking)
    for reason in dict.fromkeys(item.reason for item in left_out):
        count = sum(item.reason == reason for item in left_out)
        yield f"\nnot compared: {count} places: {reason}"


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


def _ranked(ranking: Ranking) -> Iterator[str]:
    rows = [[run, scorer, f"{rank:.2f}"] for (run, scorer), rank in ranking.mean_ranks.items()]
    yield ""
    yield columns_text(["run", "scorer", "mean rank"], rows).rstrip("\n")
    yield (
        f"Over {ranking.pairs} pairs of data sets, 1 the best; mean ranks differ if "
        f"{ranking.critical_difference:.2f} apart (Nemenyi, p = 0.05). Friedman's test of no "
        f"difference at all: p = {ranking.p_value:.2g}."
    )
