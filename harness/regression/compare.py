"""Cell by cell: the AUROC of run B minus that of run A on the same groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from harness.metrics.paired import Difference, holm, paired_test
from harness.metrics.roc import LEVEL, Z_95
from harness.regression.runs import Run
from harness.results import Cell, Result

Judgement: TypeAlias = Literal["better", "worse", "tie"]
EXAMPLES = ("in_split", "out_split", "draw_seed")
"""What of a provenance decides, with the numbers of groups, which examples were scored: those of a
role are the first ones of one permutation of the split, which the seed and its size decide."""


@dataclass(frozen=True)
class Compared:
    """A cell of both runs.

    Attributes:
        auroc_a: AUROC in run A; `auroc_b` in run B.
        difference: B minus A; `low` and `high` are its 95 % interval by DeLong.
        p_value: Of the paired DeLong test that it is 0.
        p_adjusted: By Holm, over all cells compared.
        judgement: Whether B is better or worse at `p_adjusted` <= 0.05, or a tie: they cannot be
            told apart.
    """

    cell: Cell
    auroc_a: float
    auroc_b: float
    difference: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    judgement: Judgement

    def to_json(self) -> dict[str, Any]:
        """The cell as `bench compare --json` prints it."""
        place = self.cell.as_row()
        return place | {name: value for name, value in vars(self).items() if name != "cell"}


@dataclass(frozen=True)
class LeftOut:
    """A cell with a number in run A that cannot be compared, and why."""

    cell: Cell
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The cell as `bench compare --json` prints it."""
        place = self.cell.as_row()
        return {**place, "reason": self.reason}


def compare_runs(a: Run, b: Run) -> tuple[list[Compared], list[LeftOut]]:
    """All cells that have a number in run A, compared with run B or left out."""
    tests: dict[Cell, Difference] = {}
    left_out = []
    for cell, result in a.results.items():
        if result.status != "ok":
            continue
        if reason := _obstacle(result, b.results.get(cell)):
            left_out.append(LeftOut(cell, reason))
        elif test := paired_test(b.results[cell], result):
            tests[cell] = test
    adjusted = holm([test.p_value for test in tests.values()])
    compared = [
        _compared(cell, a.results[cell], b.results[cell], test, p)
        for (cell, test), p in zip(tests.items(), adjusted, strict=True)
    ]
    return compared, left_out


def _obstacle(a: Result, b: Result | None) -> str:
    """Why two results of a cell cannot be compared; empty if they can."""
    if b is None:
        return "B has no such cell"
    if b.status != "ok":
        return f"{b.status} in B: {b.message}"
    sizes = [(len(x.scores[0]), len(x.scores[1])) for x in (a, b) if x.scores is not None]
    if sizes[0] != sizes[1]:
        return "A scored {} and {} groups, B {} and {}".format(*sizes[0], *sizes[1])
    for name in EXAMPLES:
        if a.provenance[name] != b.provenance[name]:
            return f"other examples were scored: {name} differs"
    return ""


def _compared(cell: Cell, a: Result, b: Result, test: Difference, p_adjusted: float) -> Compared:
    assert a.metrics is not None, "only results with a number are compared"
    assert b.metrics is not None, "only results with a number are compared"
    judgement: Judgement = "tie"
    if p_adjusted <= LEVEL and test.difference:
        judgement = "better" if test.difference > 0 else "worse"
    half = Z_95 * test.se
    return Compared(
        cell,
        a.metrics.auroc,
        b.metrics.auroc,
        test.difference,
        test.difference - half,
        test.difference + half,
        test.p_value,
        p_adjusted,
        judgement,
    )
