"""The results in up to three sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from harness.plain import one_line
from harness.report.marks import number
from harness.results import Result

LIKELIHOOD = "log-likelihood"
"""The scorer that is -log p(x): AUROC below 0.5 means that the model finds OOD more likely."""


def summary(results: Sequence[Result]) -> list[str]:
    """Up to three sentences in plain text, one for each of these that the results can answer.

     - How many cells have a number, and why the others have none.
     - In how many of its cells the likelihood is the wrong way round: AUROC below 0.5, the 95 %
       interval included.
     - Which scorer has the highest mean AUROC. Only scorers with the most numbers are considered,
       so that none wins by having failed where it is hard.

    Of two results for the same cell the later one counts.
    """
    if not results:
        return ["There are no results."]
    last = list({result.cell: result for result in results}.values())
    sentences = [_counts(last), *_wrong_way_round(last), *_highest_mean(last)]
    return [one_line(sentence) for sentence in sentences]


def _counts(results: Sequence[Result]) -> str:
    ok = sum(number(result) is not None for result in results)
    total = f"{len(results)} {'cell' if len(results) == 1 else 'cells'}"
    if ok == len(results):
        return f"All {total} have a number." if ok > 1 else "The only cell has a number."
    lacking = Counter(
        "failed" if result.status == "ok" else result.status
        for result in results
        if number(result) is None
    )
    reasons = ", ".join(f"{count} {status}" for status, count in lacking.items())
    return f"{ok} of {total} {'has' if ok == 1 else 'have'} a number: {reasons}."


def _wrong_way_round(results: Sequence[Result]) -> list[str]:
    cells = [result for result in results if result.cell.scorer == LIKELIHOOD]
    cells = [result for result in cells if number(result) is not None]
    if not cells:
        return []
    wrong = [x for x in cells if x.auroc_high is not None and x.auroc_high < 0.5]
    text = (
        f"The likelihood is the wrong way round (AUROC below 0.5 beyond its 95 % interval) in "
        f"{len(wrong) or 'none'} of its {len(cells)} {'cell' if len(cells) == 1 else 'cells'}"
    )
    if not wrong:
        return [f"{text}."]
    lowest = min(wrong, key=lambda result: number(result) or 0.0)
    cell = lowest.cell
    return [
        f"{text}; lowest: {number(lowest):.3f}, {cell.model} at epoch {cell.epoch}, "
        f"{cell.in_dataset} against {cell.out_dataset}, group size {cell.group_size}."
    ]


def _highest_mean(results: Sequence[Result]) -> list[str]:
    aurocs: dict[str, list[float]] = {}
    for result in results:
        if (auroc := number(result)) is not None:
            aurocs.setdefault(result.cell.scorer, []).append(auroc)
    if len(aurocs) < 2:
        return []
    most = max(len(found) for found in aurocs.values())
    means = {scorer: fmean(found) for scorer, found in aurocs.items() if len(found) == most}
    best = max(means, key=means.__getitem__)
    cells = "cell" if most == 1 else f"{most} cells"
    return [f"The highest mean AUROC is that of {best}: {means[best]:.3f} over its {cells}."]
