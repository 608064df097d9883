"""Scorers that are the wrong way round: OOD groups tend to get lower scores than ID groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from harness.metrics.intervals import LEVEL, Z_95
from harness.metrics.multiple import holm
from harness.report.significance import is_wrong_way, metrics_of
from harness.results import Metrics, Result, place
from harness.text import counted

MOST_NAMED = 3
"""Maximum number of cells named in a sentence."""


def wrong_way_round(results: Sequence[Result], leader: str | None) -> list[str]:
    """Count the cells in which a scorer is the wrong way round, in words.

    Of many cells at chance, 2.5 % have a 95 % interval below 0.5. Therefore the p-values (see
    `below_chance`) are Holm-corrected over all cells with a number: the chance that any cell is
    counted in error is at most 2.5 %.

    Arguments:
        results: At most one for each cell.
        leader: The scorer whose cells are named; None if no scorer is the highest.

    Returns:
        Empty if no cell has a number.
    """
    known = [(result, found) for result in results if (found := metrics_of(result)) is not None]
    if not known:
        return []
    tests = holm([below_chance(metrics) for _, metrics in known])
    wrong = [
        item
        for item, p in zip(known, tests, strict=True)
        if p <= LEVEL / 2 and is_wrong_way(item[0])
    ]
    claim = (
        "shown to be the wrong way round (AUROC below 0.5, Holm-corrected over "
        f"{counted(len(known), 'cell')})"
    )
    marked = sum(is_wrong_way(result) for result, _ in known)
    alone = f"; without the correction there would be {marked:,}" if marked > len(wrong) else ""
    if not wrong:
        return [f"No scorer is {claim} in any cell{alone}."]
    wrong.sort(key=lambda item: item[1].auroc)
    cells = Counter(result.cell.scorer for result, _ in known)
    counts = Counter(result.cell.scorer for result, _ in wrong)
    scorers = ", ".join(
        f"{scorer} in {count} of {counted(cells[scorer], 'cell')}"
        for scorer, count in counts.most_common()
    )
    lowest, metrics = wrong[0]
    by = f"{metrics.auroc:.3f} by {lowest.cell.scorer}, {place(lowest)}"
    sentences = [f"Scorers {claim}: {scorers}{alone}; lowest: {by}."]
    own = [(result, found) for result, found in wrong if result.cell.scorer == leader]
    if own:
        named = [f"{found.auroc:.3f} for {place(x)}" for x, found in own[:MOST_NAMED]]
        if (more := len(own) - MOST_NAMED) > 0:
            named.append(f"and {counted(more, 'more cell')}")
        sentences.append(f"{leader} itself is the wrong way round with {'; '.join(named)}.")
    return sentences


def below_chance(metrics: Metrics) -> float:
    """Compute the one-sided p-value for an AUROC of 0.5 or more.

    The end of the 95 % interval gives the effective number of trials, N = z² h (1 - h) / (h - A)²,
    where h is the upper end and A the AUROC. The p-value is 1 - Φ((½ - A) 2 √N), so it is below
    2.5 % exactly if the interval lies below 0.5 (Wilson's test and interval).
    """
    area, high = metrics.auroc, metrics.auroc_high
    if area >= 0.5 or high is None:
        return 1.0
    if high <= area:
        return 0.0
    z = Z_95 * (0.5 - area) * 2 * math.sqrt(high * (1 - high)) / (high - area)
    return math.erfc(z / math.sqrt(2)) / 2
