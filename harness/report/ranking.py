"""Ranking of all scorers in a suite, in plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.metrics.ranks import Block, Ranked, block_of, rank_methods
from harness.report.significance import number, status_of
from harness.report.tables import provenance_notes
from harness.results import Result

LEAST_SHARE = 0.5
"""Minimum share of blocks in which all ranked scorers have a number.

Scorers with the fewest numbers are dropped from the ranking until the share is reached.
"""


@dataclass(frozen=True)
class Unranked:
    """A scorer without a rank.

    Attributes:
        auroc: Mean AUROC over the blocks with a number; None if no block has a number.
        reasons: Count of missing numbers by status; `"absent"` counts blocks without a result.
    """

    auroc: float | None
    reasons: dict[str, int]


@dataclass(frozen=True)
class RankingTable:
    """All scorers, either ranked or listed separately.

    Attributes:
        ranked: Ranked scorers; None if no result has a number.
        apart: Scorers without a rank, in result order.
        numbers: For each scorer, the count of blocks with a number.
        blocks: Total count of blocks; a block is a model, data sets, epoch, group size and seed.
        notes: Distinct notes found in result provenance.
    """

    ranked: Ranked[str] | None
    apart: dict[str, Unranked]
    numbers: dict[str, int]
    blocks: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Convert the ranking to JSON for `bench report --ranking`."""
        ranked = self.ranked
        places = ranked.mean_ranks if ranked else {}
        return {
            "scorers": [
                {
                    "scorer": scorer,
                    "mean_rank": rank,
                    "mean_auroc": ranked and ranked.aurocs[scorer],
                    "numbers": self.numbers[scorer],
                }
                for scorer, rank in places.items()
            ],
            "apart": [
                {
                    "scorer": scorer,
                    "mean_auroc": apart.auroc,
                    "numbers": self.numbers[scorer],
                    "without": apart.reasons,
                }
                for scorer, apart in self.apart.items()
            ],
            "blocks": self.blocks,
            "blocks_ranked": ranked.blocks if ranked else 0,
            "pairs": ranked.pairs if ranked else 0,
            "critical_difference": ranked and ranked.critical_difference,
            "friedman": ranked and ranked.friedman and ranked.friedman[0],
            "p_value": ranked and ranked.friedman and ranked.friedman[1],
        }


def ranking_table(results: Sequence[Result]) -> RankingTable:
    """Rank the scorers over the blocks in which all ranked scorers have a number.

    Scorers that would leave too few complete blocks (`LEAST_SHARE`) are listed separately. If two
    results are for the same cell, the later result counts.
    """
    last = {result.cell: result for result in results}
    blocks: dict[Block, dict[str, float]] = {}
    for cell, result in last.items():
        found = blocks.setdefault(block_of(cell), {})
        if (auroc := number(result)) is not None:
            found[cell.scorer] = auroc
    scorers = list(dict.fromkeys(cell.scorer for cell in last))
    numbers = {name: sum(name in found for found in blocks.values()) for name in scorers}
    kept = _kept(blocks, numbers)
    return RankingTable(
        rank_methods(blocks, kept),
        {
            name: _unranked(name, blocks, [x for x in last.values() if x.cell.scorer == name])
            for name in scorers
            if name not in kept
        },
        numbers,
        len(blocks),
        provenance_notes(results),
    )


def _kept(blocks: Mapping[Block, Mapping[str, float]], numbers: Mapping[str, int]) -> list[str]:
    """Select the scorers to rank; if two have equally few numbers, the later scorer is dropped."""
    kept = [name for name, count in numbers.items() if count]
    while len(kept) > 1 and _complete(blocks.values(), kept) < LEAST_SHARE * len(blocks):
        kept.remove(min(reversed(kept), key=numbers.__getitem__))  # min takes the first
    return kept


def _complete(blocks: Iterable[Mapping[str, float]], scorers: Sequence[str]) -> int:
    return sum(all(name in found for name in scorers) for found in blocks)


def _unranked(
    scorer: str, blocks: Mapping[Block, Mapping[str, float]], results: Sequence[Result]
) -> Unranked:
    aurocs = [found[scorer] for found in blocks.values() if scorer in found]
    reasons = Counter[str](status_of(x) for x in results if number(x) is None)
    if absent := len(blocks) - len(results):
        reasons["absent"] = absent
    return Unranked(fmean(aurocs) if aurocs else None, dict(reasons))
