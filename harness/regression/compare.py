"""Comparison by cell: the AUROC of run B minus the AUROC of run A on the same groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from harness.metrics.intervals import LEVEL, Z_95
from harness.metrics.paired import Difference, holm, paired_test
from harness.regression.runs import Run
from harness.results import STATUS_WORDS, Cell, Result

Judgement: TypeAlias = Literal["better", "worse", "tie"]
EXAMPLES = ("in_split", "out_split", "draw_seed")
"""Entries in a provenance that, together with the group counts, determine the scored examples: a
role gets the first examples in a permutation of the split, fixed by the seed and split size."""


@dataclass(frozen=True)
class Compared:
    """A cell with a number in both runs.

    Attributes:
        auroc_a: AUROC in run A.
        auroc_b: AUROC in run B.
        difference: AUROC in B minus AUROC in A.
        low: Lower end of the 95 % interval for the difference, by DeLong.
        high: Upper end of this interval.
        p_value: P-value of the paired DeLong test for a difference of 0.
        p_adjusted: The p-value after Holm's correction over all compared cells.
        judgement: "better" or "worse" for B at `p_adjusted` <= 0.05; "tie" if the AUROCs do not
            differ significantly.
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
        """Return the cell in the form printed by `bench compare --json`."""
        place = self.cell.as_row()
        return place | {name: value for name, value in vars(self).items() if name != "cell"}


@dataclass(frozen=True)
class LeftOut:
    """A cell with a number in run A that cannot be compared, and the reason."""

    cell: Cell
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the cell in the form printed by `bench compare --json`."""
        place = self.cell.as_row()
        return {**place, "reason": self.reason}


def compare_runs(a: Run, b: Run) -> tuple[list[Compared], list[LeftOut]]:
    """Compare run B with run A in every cell that has a number in run A.

    Returns:
        The compared cells, and the cells left out because run B has no comparable result.
    """
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
    """Say why two results for a cell cannot be compared; empty if they can."""
    if b is None:
        return "the cell is missing in B"
    if b.status != "ok":
        return f"{STATUS_WORDS[b.status]} in B: {b.message}"
    sizes = [(len(x.scores[0]), len(x.scores[1])) for x in (a, b) if x.scores is not None]
    if sizes[0] != sizes[1]:
        return "A scored {} and {} groups, B {} and {}".format(*sizes[0], *sizes[1])
    for name in EXAMPLES:
        if a.provenance[name] != b.provenance[name]:
            return f"different examples were scored: {name} differs"
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
