"""Joint ranking of the scorers in two runs, over pairs of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.metrics.ranks import Block, block_of, rank_methods
from harness.regression.compare import Compared, Names


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over pairs of data sets, where 1 is the best rank.

    Attributes:
        mean_ranks: Mean rank by run (`"A"`, `"B"`) and scorer, best first.
        pairs: Number of pairs of data sets, N.
        critical_difference: Minimum significant difference between mean ranks, by Nemenyi's test.
        friedman: Friedman's χ² for no difference between the scorers.
        p_value: P-value for `friedman`.
    """

    mean_ranks: dict[tuple[str, str], float]
    pairs: int
    critical_difference: float
    friedman: float
    p_value: float

    def to_json(self) -> dict[str, Any]:
        """Return the ranking in the form printed by `bench compare --json`."""
        rows = [
            {"run": run, "scorer": scorer, "mean_rank": rank}
            for (run, scorer), rank in self.mean_ranks.items()
        ]
        return {**vars(self), "mean_ranks": rows}


def rank_scorers(
    compared: Sequence[Compared], names: Names = MappingProxyType({})
) -> Ranking | None:
    """Rank every scorer in both runs over the pairs (ID set, OOD set).

    See `harness.metrics.ranks.rank_methods`. The blocks are the places (model, epoch, group size,
    seed) in which every scorer has a number.

    Arguments:
        compared: The compared places.
        names: Names of run A that have another name in run B.

    Returns:
        The ranking, or None with fewer than two pairs.
    """
    scorers = list(dict.fromkeys(item.cell.scorer for item in compared))
    in_b = {scorer: names.get(scorer, scorer) for scorer in scorers}
    methods = [
        *(("A", scorer) for scorer in scorers),
        *(("B", in_b[scorer]) for scorer in scorers),
    ]
    blocks: dict[Block, dict[tuple[str, str], float]] = {}
    for item in compared:
        cell = item.cell
        found = blocks.setdefault(block_of(cell), {})
        found |= {("A", cell.scorer): item.auroc_a, ("B", in_b[cell.scorer]): item.auroc_b}
    ranked = rank_methods(blocks, methods)
    if ranked is None or ranked.critical_difference is None or ranked.friedman is None:
        return None
    return Ranking(
        ranked.mean_ranks,
        ranked.pairs,
        ranked.critical_difference,
        *ranked.friedman,
    )
