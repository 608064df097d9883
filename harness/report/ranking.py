"""Ranking of all scorers, or of all models, in a suite, in plain data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.metrics.ranks import Block, By, Ranked, block_of, compared, rank_methods
from harness.report.significance import metrics_of, number, status_of
from harness.report.tables import provenance_notes
from harness.results import Result, unit_of


@dataclass(frozen=True)
class Unranked:
    """A scorer or model without a rank.

    Attributes:
        auroc: Mean AUROC over the blocks with a number; None if no block has a number.
        reasons: Count of missing numbers by status; `"absent"` counts blocks without a result.
    """

    auroc: float | None
    reasons: dict[str, int]


@dataclass(frozen=True)
class Density:
    """Bits per dimension of a model, ranked among the models with the same kind of likelihood.

    Attributes:
        likelihood: Kind of log-probability; None if unknown.
        bits_per_dim: Mean for the ID sets, epochs and seeds that all ranked models of the kind
            have in common; of an only model, for all of its own. None if not ranked.
        rank: Mean rank over the ID sets, where 1 has the fewest bits; None if not ranked.
        models: Number of models ranked within the kind.
    """

    likelihood: str | None
    bits_per_dim: float | None
    rank: float | None
    models: int

    def to_json(self) -> dict[str, Any]:
        """Convert to the columns of `bench report --ranking models`."""
        return {
            "likelihood": self.likelihood,
            "bits_per_dim": self.bits_per_dim,
            "bits_per_dim_rank": self.rank,
            "bits_per_dim_models": self.models,
        }


@dataclass(frozen=True)
class RankingTable:
    """All scorers or all models, either ranked or listed separately.

    Attributes:
        by: What is ranked.
        ranked: Ranked scorers or models, at least two; None if nothing can be ranked.
        apart: Scorers or models without a rank, in result order.
        numbers: For each scorer or model, the count of blocks with a number.
        blocks: Count of blocks in which a scorer or model has a number; a block is a model (or
            scorer, where models are ranked), data sets, epoch, group size and seed.
        unit: What the epochs axis counts.
        notes: Distinct notes found in result provenance.
    """

    by: By
    ranked: Ranked[str] | None
    apart: dict[str, Unranked]
    numbers: dict[str, int]
    blocks: int
    unit: str
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Convert the ranking to JSON for `bench report --ranking`."""
        ranked = self.ranked
        places = ranked.mean_ranks if ranked else {}
        return {
            f"{self.by}s": [
                {
                    self.by: name,
                    "mean_rank": rank,
                    "mean_auroc": ranked and ranked.means[name],
                    "numbers": self.numbers[name],
                }
                for name, rank in places.items()
            ],
            "apart": [
                {
                    self.by: name,
                    "mean_auroc": apart.auroc,
                    "numbers": self.numbers[name],
                    "without": apart.reasons,
                }
                for name, apart in self.apart.items()
            ],
            "blocks": self.blocks,
            "blocks_ranked": ranked.blocks if ranked else 0,
            "pairs": ranked.pairs if ranked else 0,
            "critical_difference": ranked and ranked.critical_difference,
            "friedman": ranked and ranked.friedman and ranked.friedman[0],
            "p_value": ranked and ranked.friedman and ranked.friedman[1],
        }


def ranking_table(results: Sequence[Result], by: By = "scorer") -> RankingTable:
    """Rank the scorers, or the models, over the blocks in which all ranked ones have a number.

    `harness.metrics.ranks.compared` chooses the ranked ones; the others are listed separately.
    Blocks in which none has a number do not count. If two results are for the same cell, the later
    result counts.
    """
    last = {result.cell: result for result in results}
    names = list(dict.fromkeys(getattr(cell, by) for cell in last))
    blocks: dict[Block, dict[str, float]] = {}
    for cell, result in last.items():
        if (auroc := number(result)) is not None:
            blocks.setdefault(block_of(cell, by), {})[getattr(cell, by)] = auroc
    kept = compared(blocks.values())
    lacking: dict[str, list[Result]] = {name: [] for name in names}
    for cell, result in last.items():
        if number(result) is None and block_of(cell, by) in blocks:
            lacking[getattr(cell, by)].append(result)
    return RankingTable(
        by,
        rank_methods(blocks, kept),
        {name: _unranked(name, blocks, lacking[name]) for name in names if name not in kept},
        {name: sum(name in found for found in blocks.values()) for name in names},
        len(blocks),
        unit_of(results),
        provenance_notes(results),
    )


def _unranked(
    name: str, blocks: Mapping[Block, Mapping[str, float]], lacking: Sequence[Result]
) -> Unranked:
    aurocs = [found[name] for found in blocks.values() if name in found]
    reasons = Counter[str](map(status_of, lacking))
    if absent := len(blocks) - len(aurocs) - len(lacking):
        reasons["absent"] = absent
    return Unranked(fmean(aurocs) if aurocs else None, dict(reasons))


def densities(results: Sequence[Result]) -> dict[str, Density]:
    """Rank the models by bits per dimension of the ID examples, each kind of likelihood by itself.

    Bounds, estimates and exact values are not comparable. A block is an ID set, epoch and seed;
    the models are chosen like in `ranking_table`.
    """
    kinds: dict[str, str | None] = {}
    blocks: dict[Block, dict[str, float]] = {}
    for result in results:
        cell, metrics = result.cell, metrics_of(result)
        kinds[cell.model] = kinds.get(cell.model) or result.likelihood
        bits = None if metrics is None else metrics.bits_per_dim_in
        if bits is not None and math.isfinite(bits):
            block = (cell.in_dataset, cell.in_dataset), ("", cell.epoch, 0, cell.seed)
            blocks.setdefault(block, {}).setdefault(cell.model, -bits)
    found: dict[str, Density] = {}
    for kind in dict.fromkeys(kinds.values()):
        models = [model for model in kinds if kinds[model] == kind]
        own = {
            block: {model: values[model] for model in models if model in values}
            for block, values in blocks.items()
        }
        found |= _densities_of(kind, models, own)
    return found


def _densities_of(
    kind: str | None, models: Sequence[str], blocks: Mapping[Block, Mapping[str, float]]
) -> dict[str, Density]:
    """Rank models of one kind of likelihood; an only model has a mean without a rank."""
    several = len(models) > 1
    ranked = rank_methods(blocks, compared(blocks.values()) if several else models)
    if ranked is None:
        return {model: Density(kind, None, None, 0) for model in models}
    places = ranked.mean_ranks if several else {}
    return {
        model: Density(
            kind,
            -ranked.means[model] if model in ranked.means else None,
            places.get(model),
            len(places),
        )
        for model in models
    }
