"""Examples for a cell: the most and least OOD examples on each side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.folder import PreparedDataset
from harness.data.roles import Draw
from harness.errors import StoreError
from harness.metrics.placements import Floats
from harness.plan.jobs import PlannedCell, StatisticJob
from harness.plan.plan import Plan
from harness.report.page.atlas import sheet, sheet_bytes
from harness.report.page.budget import ByteBudget
from harness.report.page.rows import rounded
from harness.results import Result

SHOWN = 6
"""Number of examples at each end of a side; larger groups mean fewer groups."""

TEXT, TILE = 35, 6
"""Estimated bytes for a group score, and for each example index in the group."""


class _Set:
    """Examples shown on the page from a single data set."""

    def __init__(self, prepared: PreparedDataset) -> None:
        self.domain, self.examples = prepared.domain, prepared.load("test")
        self.tiles: dict[int, int] = {}

    def data(self) -> dict[str, Any]:
        """Return the examples in a sheet, with their indices in the test split."""
        ids = list(self.tiles)
        return {"ids": ids, **sheet(np.asarray(self.examples[ids]), self.domain)}


class Examples:
    """Collector for the examples of cells; each example is stored once.

    Arguments:
        plan: Plan with known data sets.
        budget: Byte budget for the examples.
    """

    def __init__(self, plan: Plan, budget: ByteBudget) -> None:
        self.plan, self.budget = plan, budget
        self.sides: list[dict[str, Any]] = []
        self.rows: dict[int, tuple[int | None, int | None]] = {}
        self.without: dict[str, str] = {}
        self._sets: dict[str, _Set | None] = {}
        self._ids: dict[Draw, NDArray[np.int64]] = {}
        self._places: dict[tuple[str, str, tuple[int, ...]], int] = {}

    def add(self, row: int, planned: PlannedCell, result: Result) -> None:
        """Add the extremes on both sides of a cell with a number, within the budget."""
        if self.budget.left <= 0:
            return
        jobs = next(iter(planned.reads.values()))
        places = [
            self._place(job, planned.cell.group_size, scores)
            for job, scores in ((jobs.in_, result.scores_in), (jobs.out, result.scores_out))
        ]
        if places[0] is not None or places[1] is not None:
            self.rows[row] = (places[0], places[1])

    def data(self) -> dict[str, Any]:
        """Return everything collected.

        Returns:
            `rows`: ID and OOD indices into `sides`, by row; `sides`: examples with scores; `sets`:
            sheets by data set name; `without`: reasons for missing examples, by data set name.
        """
        sets = {
            name: found.data()
            for name, found in self._sets.items()
            if found is not None and found.tiles
        }
        return {"rows": self.rows, "sides": self.sides, "sets": sets, "without": self.without}

    def _place(self, job: StatisticJob, size: int, scores: Floats | None) -> int | None:
        name = job.draw.dataset
        found = self._set(name)
        if scores is None or found is None:
            return None
        if job.draw not in self._ids:
            self._ids[job.draw] = job.draw.ids(self.plan.prepared[name].counts["test"])
        ids = self._ids[job.draw]
        count = min(size, SHOWN)
        ends = {end: extreme_groups(scores, size, end) for end in ("most", "least")}
        members = {
            group: ids[group * size : group * size + count].tolist()
            for groups in ends.values()
            for group in groups
        }
        wanted = dict.fromkeys(number for group in members.values() for number in group)
        new = [number for number in wanted if number not in found.tiles]
        text = sum(map(len, ends.values())) * (TEXT + TILE * count)
        if not self.budget.take(len(new) * sheet_bytes(found.domain) + text):
            return None
        for number in new:
            found.tiles[number] = len(found.tiles)
        shown = {
            group: {
                "score": rounded(float(scores[group])),
                "tiles": [found.tiles[number] for number in numbers],
            }
            for group, numbers in members.items()
        }
        side = {end: [shown[group] for group in groups] for end, groups in ends.items()}
        self.sides.append({"set": name, **side})
        return len(self.sides) - 1

    def _set(self, name: str) -> _Set | None:
        if name not in self._sets:
            self._sets[name] = self._open(name)
        return self._sets[name]

    def _open(self, name: str) -> _Set | None:
        try:
            return _Set(self.plan.prepared[name])
        except (StoreError, OSError) as error:
            self.without[name] = str(error)
        except KeyError:
            self.without[name] = "its examples are not on this machine"
        return None


def extreme_groups(scores: Floats, size: int, end: str) -> list[int]:
    """Find the groups with the highest (`"most"` OOD) or lowest scores, most extreme first.

    Arguments:
        scores: float64, (n,); equal scores keep their order.
        size: Number of examples in a group.
        end: `"most"` or `"least"`.
    """
    order = np.argsort(-scores if end == "most" else scores, kind="stable")
    return [int(group) for group in order[: max(1, SHOWN // size)]]
