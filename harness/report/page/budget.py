"""Size limits for the page: priority between cells, and byte budgets."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from harness.plan.jobs import ChainId
from harness.plan.plan import Plan
from harness.report.figures.gallery import chosen
from harness.report.figures.series import chain_of
from harness.results import Cell, Result

FIRST_EPOCHS = 4
"""Number of evenly spaced epochs per training with priority over all other epochs."""


@dataclass
class ByteBudget:
    """Remaining bytes for a kind of content."""

    left: int

    def take(self, size: int) -> bool:
        """Take `size` bytes if available, and return whether the bytes were taken.

        After the first refusal the budget is empty, because later content is less important.
        """
        if size > self.left:
            self.left = 0
            return False
        self.left -= size
        return True


def by_importance(plan: Plan, results: dict[Cell, Result]) -> list[int]:
    """Sort the rows with a number by importance.

    Last epochs come first, then three other epochs per training, then all remaining epochs. At the
    same rank, small groups come first; otherwise rows keep their order.
    """
    epochs: dict[ChainId, set[int]] = {}
    rows = [row for row, planned in enumerate(plan.cells) if _has_number(results, planned.cell)]
    for row in rows:
        cell = plan.cells[row].cell
        epochs.setdefault(chain_of(cell), set()).add(cell.epoch)
    ranks = {chain: _ranks(sorted(found)) for chain, found in epochs.items()}

    def importance(row: int) -> tuple[Hashable, ...]:
        cell = plan.cells[row].cell
        return ranks[chain_of(cell)][cell.epoch], cell.group_size, row

    return sorted(rows, key=importance)


def _has_number(results: dict[Cell, Result], cell: Cell) -> bool:
    result = results.get(cell)
    return result is not None and result.status == "ok" and result.scores_in is not None


def _ranks(epochs: list[int]) -> dict[int, int]:
    """Rank the epochs: 0 for the last epoch, 1 for a representative choice, 2 for the rest."""
    first = chosen(epochs, FIRST_EPOCHS)
    return {epoch: 0 if epoch == epochs[-1] else 1 + (epoch not in first) for epoch in epochs}
