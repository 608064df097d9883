"""The scorers of a suite ranked together, as plain data."""

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
"""Scorers are left out of the ranking, those with the fewest numbers first, until so large a
share of the blocks has a number of all the others."""


@dataclass(frozen=True)
class Unranked:
    """A scorer that is not ranked.

    Attributes:
        auroc: Mean over the blocks in which it has a number; None if there is none.
        reasons: How often it has none, by status; a block that it has no result in is `"absent"`.
    """

    auroc: float | None
    reasons: dict[str, int]


@dataclass(frozen=True)
class RankingTable:
    """All scorers: ranked, or apart from the others.

    Attributes:
        ranked: None if there is no number at all.
        apart: The scorers that are not ranked, in the order of the results.
        numbers: By scorer, in how many blocks it has a number.
        blocks: How many blocks there are: model, data sets, epoch, group size and seed.
        notes: What the provenance of the results asks to be printed, each once.
    """

    ranked: Ranked[str] | None
    apart: dict[str, Unranked]
    numbers: dict[str, int]
    blocks: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The ranking as `bench report --ranking --format json` prints it."""
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
    """Rank the scorers over the blocks in which all of them have a number.

    Those that would leave too few such blocks (`LEAST_SHARE`) are listed apart. Of two results for
    the same cell the later one counts.
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
    """The scorers to be ranked; of two with as few numbers the later one goes first."""
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
