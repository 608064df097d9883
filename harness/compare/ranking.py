"""The scorers of both runs ranked together over pairs of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.compare.paired import Compared
from harness.ranks import critical_difference, friedman, ranks


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

    The AUROC of a pair is the mean over models, epochs, group sizes and seeds: cells that share
    their examples are no further evidence, and would make the critical difference too small. Pairs
    that share one of their data sets still do, so it is on the small side yet. A mean is over the
    places (model, epoch, group size, seed) that have all scorers; a pair without any is left out.

    Returns:
        None with fewer than two pairs.
    """
    scorers = list(dict.fromkeys(item.cell.scorer for item in compared))
    methods = [(run, scorer) for run in ("A", "B") for scorer in scorers]
    pairs: dict[tuple[str, str], dict[tuple[Any, ...], dict[tuple[str, str], float]]] = {}
    for item in compared:
        cell = item.cell
        place = (cell.model, cell.epoch, cell.group_size, cell.seed)
        found = pairs.setdefault((cell.in_dataset, cell.out_dataset), {}).setdefault(place, {})
        found |= {("A", cell.scorer): item.auroc_a, ("B", cell.scorer): item.auroc_b}
    rows = []
    for places in pairs.values():
        complete = [
            [found[method] for method in methods]
            for found in places.values()
            if len(found) == len(methods)
        ]
        if complete:
            rows.append(np.mean(complete, axis=0))
    if len(rows) < 2:
        return None
    ranked = ranks(np.array(rows))
    order = sorted(zip(ranked.mean(axis=0).tolist(), methods, strict=True))
    statistic, p_value = friedman(ranked)
    return Ranking(
        {method: rank for rank, method in order},
        len(rows),
        critical_difference(len(methods), len(rows)),
        statistic,
        p_value,
    )
