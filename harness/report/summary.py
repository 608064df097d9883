"""The results in a few sentences: what failed, won, is the wrong way round, and what is next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.plain import one_line
from harness.report.marks import is_wrong_way, number
from harness.report.next_look import next_look
from harness.report.text import counted, place
from harness.report.winner import winner
from harness.results import Result

LIKELIHOOD = "log-likelihood"
"""The scorer that is -log p(x): AUROC below 0.5 means that the model finds OOD more likely."""


def summary(results: Sequence[Result]) -> list[str]:
    """A few sentences in plain text, one for each of these that the results can answer.

     - What failed: how many cells have a number, and why the others have none.
     - What won: the scorer with the highest mean AUROC, by how much, and in how many cells the
       paired test tells it from the next (see `winner`).
     - In how many of its cells the likelihood is the wrong way round: AUROC below 0.5, the 95 %
       interval included.
     - Where to look next (see `next_look`).

    Of two results for the same cell the later one counts.
    """
    if not results:
        return ["There are no results."]
    last = list({result.cell: result for result in results}.values())
    sentences = [_counts(last), *winner(last), *_wrong_way_round(last), *next_look(last)]
    return [one_line(sentence) for sentence in sentences]


def _counts(results: Sequence[Result]) -> str:
    ok = sum(number(result) is not None for result in results)
    total = counted(len(results), "cell")
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
    wrong = [result for result in cells if is_wrong_way(result)]
    text = (
        f"The likelihood is the wrong way round (AUROC below 0.5 beyond its 95 % interval) in "
        f"{len(wrong) or 'none'} of its {counted(len(cells), 'cell')}"
    )
    if not wrong:
        return [f"{text}."]
    lowest = min(wrong, key=lambda result: number(result) or 0.0)
    return [f"{text}; lowest: {number(lowest):.3f}, {place(lowest.cell)}."]
