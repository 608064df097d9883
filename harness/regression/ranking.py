"""The scorers of both runs ranked together over pairs of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.metrics.ranks import Block, block_of, rank_methods
from harness.regression.compare import Compared


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over pairs of data sets, 1 the best.

    Attributes:
        mean_ranks: By run (`"A"`, `"B"`) and scorer, the best first.
        pairs: How many pairs of data sets, N.
        critical_difference: Mean ranks so far apart differ, by Nemenyi's test.
        friedman: χ² of no difference at all; `p_value` its p-value.
    """

    mean_ranks: dict[tuple[str, str], float]
    pairs: int
    critical_difference: float
    friedman: float
    p_value: float

    def to_json(self) -> dict[str, Any]:
        """The ranking as `bench compare --json` prints it."""
        rows = [
            {"run": run, "scorer": scorer, "mean_rank": rank}
            for (run, scorer), rank in self.mean_ranks.items()
        ]
        return {**vars(self), "mean_ranks": rows}


def rank_scorers(compared: Sequence[Compared]) -> Ranking | None:
    """Rank every scorer of both runs over the pairs (ID set, OOD set).

    See `harness.ranking.rank_methods`; the blocks are the places (model, epoch, group size, seed)
    that have all scorers.

    Returns:
        None with fewer than two pairs.
    """
    scorers = list(dict.fromkeys(item.cell.scorer for item in compared))
    methods = [(run, scorer) for run in ("A", "B") for scorer in scorers]
    blocks: dict[Block, dict[tuple[str, str], float]] = {}
    for item in compared:
        cell = item.cell
        found = blocks.setdefault(block_of(cell), {})
        found |= {("A", cell.scorer): item.auroc_a, ("B", cell.scorer): item.auroc_b}
    ranked = rank_methods(blocks, methods)
    if ranked is None or ranked.critical_difference is None or ranked.friedman is None:
        return None
    return Ranking(
        ranked.mean_ranks,
        ranked.pairs,
        ranked.critical_difference,
        *ranked.friedman,
    )
