"""Scores of a cell: a row for each group, with the numbers of its examples."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.api.frames import data_frame
from harness.errors import BenchError, NothingSelectedError
from harness.results import COLUMNS, STATUS_WORDS, Cell, Result
from harness.text import known_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

    from harness.plan.plan import Plan

COLUMNS_OF_SCORES = ("side", "dataset", "split", "group", "examples", "score")


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of a cell on both sides, and the examples behind them.

    Attributes:
        cell: The cell.
        scores_in: Of the ID groups, float64, (n_in,), higher is more OOD.
        scores_out: Of the OOD groups, float64, (n_out,).
        examples_in: Numbers of the examples in each ID group, in the split of the ID set, int64,
            (n_in, b).
        examples_out: The same for the OOD groups, (n_out, b).
        split: The split of both data sets.
    """

    cell: Cell
    scores_in: NDArray[np.float64]
    scores_out: NDArray[np.float64]
    examples_in: NDArray[np.int64]
    examples_out: NDArray[np.int64]
    split: Literal["test"] = "test"

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return a row for each group: side, data set, split, group, examples and score."""
        sides = (
            ("in", self.cell.in_dataset, self.examples_in, self.scores_in),
            ("out", self.cell.out_dataset, self.examples_out, self.scores_out),
        )
        return [
            dict(zip(COLUMNS_OF_SCORES, (side, name, self.split, *row), strict=True))
            for side, name, examples, scores in sides
            for row in zip(range(len(scores)), examples.tolist(), scores.tolist(), strict=True)
        ]

    def to_dataframe(self) -> DataFrame:
        """Return the rows as a data frame.

        Raises:
            BenchError: pandas is not installed.
        """
        return data_frame(self.to_dicts(), COLUMNS_OF_SCORES)


def find_scores(plan: Plan, results: Mapping[Cell, Result], cell: Mapping[str, Any]) -> Scores:
    """Find the scores of a cell.

    Arguments:
        plan: With data sets opened.
        results: All results.
        cell: Values by column, as many as tell the cell apart; other columns are ignored.

    Raises:
        BenchError: A value is unknown, or the cell has no number.
        NothingSelectedError: No cell or several cells have the values.
    """
    wanted = {key: cell[key] for key in COLUMNS if key in cell}
    for key, value in wanted.items():
        known = {found.as_row()[key] for found in results}
        if value not in known:
            names = known_names(str(value), map(str, known))
            raise BenchError(f"{key}={value}: no cell has this value ({names})")
    cells = [found for found in results if wanted.items() <= found.as_row().items()]
    if len(cells) != 1:
        raise NothingSelectedError(_ambiguous(wanted, cells))
    result = results[cells[0]]
    if result.scores is None:
        raise BenchError(
            f"the cell has no scores: {STATUS_WORDS[result.status]}: {result.message}"
        )
    (planned,) = (planned for planned in plan.cells if planned.cell == result.cell)
    jobs = next(iter(planned.reads.values()))
    size = result.cell.group_size
    examples_in, examples_out = (
        job.draw.ids(plan.prepared[job.draw.dataset].counts["test"])[: len(scores) * size]
        for job, scores in zip((jobs.in_, jobs.out), result.scores, strict=True)
    )
    return Scores(
        result.cell,
        *result.scores,
        examples_in.reshape(-1, size),
        examples_out.reshape(-1, size),
    )


def _ambiguous(wanted: Mapping[str, Any], cells: Collection[Cell]) -> str:
    """Say which columns would tell several cells apart, or that no cell has all values."""
    said = ", ".join(f"{key}={value}" for key, value in wanted.items()) or "no value"
    if not cells:
        return f"no cell has {said}"
    rows = [cell.as_row() for cell in cells]
    apart = [key for key in COLUMNS if len({row[key] for row in rows}) > 1]
    return f"{len(cells)} cells have {said}: give {', '.join(apart)} as well"
