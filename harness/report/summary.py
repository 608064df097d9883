"""Summary sentences below the tables: failures, the winning scorer, and the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from harness.metrics.intervals import LEVEL
from harness.metrics.multiple import holm
from harness.metrics.paired import compared
from harness.report.next_step import next_look
from harness.report.significance import is_wrong_way, number, status_of
from harness.results import Cell, Result, place
from harness.text import counted, one_line

MOST_TESTED = 2000
"""Maximum number of cells tested, spread evenly over all cells; a test takes up to 1 ms."""


def summary(results: Sequence[Result]) -> list[str]:
    """Summarise results in a few plain sentences. Topics without an answer are left out.

     - Failures: the number of cells with a number, and the reasons for missing numbers.
     - Winner: the scorer with the highest mean AUROC, the lead over the next scorer, and the
       number of cells in which the two differ significantly (see `winner`).
     - Scorers that are the wrong way round, with the number of cells in which the whole 95 %
       interval lies below 0.5.
     - The next cell to look at (see `next_look`).

    If two results are for the same cell, the later result counts.
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
    lacking = Counter(status_of(result) for result in results if number(result) is None)
    impossible = lacking.pop("unsupported", 0)
    reasons = ", ".join(f"{count} {status}" for status, count in lacking.items())
    text = f"{ok} of {total} {'has' if ok == 1 else 'have'} a number"
    text += f": {reasons}" if reasons else ""
    if impossible:
        text += f"; {impossible} {'does' if impossible == 1 else 'do'} not apply (n/a)"
    return f"{text}."


def _wrong_way_round(results: Sequence[Result]) -> list[str]:
    cells = Counter(result.cell.scorer for result in results if number(result) is not None)
    if not cells:
        return []
    wrong = [result for result in results if is_wrong_way(result)]
    claim = "the wrong way round (95 % interval of the AUROC below 0.5)"
    if not wrong:
        return [f"No scorer is {claim} in any cell."]
    counts = Counter(result.cell.scorer for result in wrong).most_common()
    scorers = ", ".join(
        f"{scorer} in {count} of {counted(cells[scorer], 'cell')}" for scorer, count in counts
    )
    lowest = min(wrong, key=lambda result: number(result) or 0.0)
    return [
        f"Scorers that are {claim}: {scorers}; lowest: {number(lowest):.3f} by "
        f"{lowest.cell.scorer}, {place(lowest.cell)}."
    ]


def winner(results: Sequence[Result]) -> list[str]:
    """Name the scorer with the highest mean AUROC and the lead over the next scorer.

    Only scorers with the most numbers are compared: a scorer must not win by failing in difficult
    cells. The mean gives the size of the lead. The certainty is given by the number of cells in
    which the two scorers differ significantly, by paired DeLong tests, Holm-corrected over all
    cells. Cells share examples, so the count is not a test and must not be read like one.

    Returns:
        A single sentence; empty with fewer than two scorers.
    """
    numbers: dict[str, dict[Cell, Result]] = {}
    for result in results:
        if number(result) is not None:
            scorer = result.cell.scorer
            numbers.setdefault(scorer, {})[result.cell._replace(scorer="")] = result
    if len(numbers) < 2:
        return []
    most = max(len(found) for found in numbers.values())
    means = {
        scorer: fmean(number(result) or 0.0 for result in found.values())
        for scorer, found in numbers.items()
        if len(found) == most
    }
    first, *others = sorted(means, key=means.__getitem__, reverse=True)
    cells = counted(most, "cell")
    text = f"{first} has the highest mean AUROC: {means[first]:.3f} over {cells}"
    if not others:
        return [f"{text}; all other scorers have numbers in fewer cells."]
    lead = means[first] - means[others[0]]
    ahead = f"{lead:.3f} above {others[0]}" if lead >= 0.0005 else f"equal to {others[0]}"
    return [f"{text}, {ahead}{_significance(numbers[first], numbers[others[0]])}."]


def _significance(first: Mapping[Cell, Result], other: Mapping[Cell, Result]) -> str:
    """Count the cells in which two scorers differ significantly, in words."""
    pairs = [(first[cell], other[cell]) for cell in first if cell in other]
    pairs = pairs[:: -(-len(pairs) // MOST_TESTED) or 1]
    tests = [test for a, b in pairs if (test := _test(a, b)) is not None]
    if not tests:
        return "; the significance of the lead could not be tested"
    adjusted = holm([p for _, p in tests])
    told = [sign for (sign, _), p in zip(tests, adjusted, strict=True) if sign and p <= LEVEL]
    better, worse = told.count(1), told.count(-1)
    where = (
        f"among {counted(len(tests), 'tested cell')}"
        if len(tests) < len(first)
        else "cell by cell"
    )
    if not told:
        return f"; {where}, no difference is significant (paired DeLong tests, Holm-corrected)"
    tied = len(tests) - better - worse
    return (
        f"; {where}, it is significantly better in {better:,}, worse in {worse:,}, and not "
        f"significantly different in {tied:,} (paired DeLong tests, Holm-corrected)"
    )


def _test(a: Result, b: Result) -> tuple[int, float] | None:
    """Return the sign of a - b and the p-value of the paired test, or None if not testable."""
    if a.metrics is None or b.metrics is None:
        return None
    sign = (a.metrics.auroc > b.metrics.auroc) - (a.metrics.auroc < b.metrics.auroc)
    test = compared([a], [b])
    return None if test is None or test.p_value is None else (sign, test.p_value)
