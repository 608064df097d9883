"""Sentences below the tables: what failed, which scorer won and by how much, what is next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from harness.metrics.paired import holm, paired_test
from harness.metrics.roc import LEVEL
from harness.report.next_step import next_look
from harness.report.significance import is_wrong_way, number
from harness.results import Cell, Result, place
from harness.text import counted, one_line

MOST_TESTED = 2000
"""Of more cells than this every second, third, ... is tested: a test takes up to a millisecond."""

FAR = 6.0
"""A difference of so many times the sum of both standard errors needs no test: p < 1e-8."""


def summary(results: Sequence[Result]) -> list[str]:
    """A few sentences in plain text, one for each of these that the results can answer.

     - What failed: how many cells have a number, and why the others have none.
     - What won: the scorer with the highest mean AUROC, by how much, and in how many cells the
       paired test tells it from the next (see `winner`).
     - Scorers that are the wrong way round, with the number of their cells in which they are:
       AUROC below 0.5, the 95 % interval included.
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
    cells = Counter(result.cell.scorer for result in results if number(result) is not None)
    if not cells:
        return []
    wrong = [result for result in results if is_wrong_way(result)]
    claim = "the wrong way round (AUROC below 0.5 beyond its 95 % interval)"
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
    """The scorer with the highest mean AUROC and its lead over the next, in up to one sentence.

    Only scorers with the most numbers are compared, so that none wins by having failed where it is
    hard. The mean says by how much; the cells in which a paired DeLong test, Holm-corrected over
    all of them, tells the two apart say how sure it is. Cells share examples, so their count is
    no test by itself, and none is made of it.
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
    cells = "cell" if most == 1 else f"{most} cells"
    text = f"The highest mean AUROC is that of {first}: {means[first]:.3f} over its {cells}"
    if not others:
        return [f"{text}; the others have numbers in fewer."]
    lead = means[first] - means[others[0]]
    ahead = f"{lead:.3f} above {others[0]}" if lead >= 0.0005 else f"that of {others[0]} is equal"
    return [f"{text}, {ahead}{_told_apart(numbers[first], numbers[others[0]])}."]


def _told_apart(first: Mapping[Cell, Result], other: Mapping[Cell, Result]) -> str:
    """In how many cells the paired test tells which of the two is better."""
    pairs = [(first[cell], other[cell]) for cell in first if cell in other]
    pairs = pairs[:: -(-len(pairs) // MOST_TESTED) or 1]
    tests = [test for a, b in pairs if (test := _test(a, b)) is not None]
    if not tests:
        return "; whether that is beyond error could not be tested"
    adjusted = holm([p for _, p in tests])
    told = [sign for (sign, _), p in zip(tests, adjusted, strict=True) if sign and p <= LEVEL]
    better, worse = told.count(1), told.count(-1)
    where = (
        f"in {counted(len(tests), 'cell')} of them" if len(tests) < len(first) else "cell by cell"
    )
    if not told:
        return f"; {where}, the paired test tells them apart in none"
    tied = len(tests) - better - worse
    return (
        f"; {where}, it is better in {better}, worse in {worse}, and not told apart in {tied} "
        "(paired DeLong tests, Holm-corrected)"
    )


def _test(a: Result, b: Result) -> tuple[int, float] | None:
    """The sign of a - b and the p-value of the paired test; None if it cannot be made."""
    if a.metrics is None or b.metrics is None:
        return None
    difference = a.metrics.auroc - b.metrics.auroc
    sign = (difference > 0) - (difference < 0)
    # the error of a difference is at most the sum of both, so this p is below any correction
    if abs(difference) > FAR * (a.metrics.auroc_se + b.metrics.auroc_se):
        return sign, 0.0
    test = paired_test(a, b)
    return None if test is None else (sign, test.p_value)
