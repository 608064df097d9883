"""Summary sentences below the tables: failures, the winning scorer, and the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean

from harness.metrics.intervals import LEVEL
from harness.metrics.multiple import holm
from harness.metrics.paired import Trainings, are_comparable, p_values_each
from harness.report.common_cells import Comparison, compare
from harness.report.next_step import next_look
from harness.report.significance import number, status_of
from harness.report.wrong_way import wrong_way_round
from harness.results import Cell, Result
from harness.text import counted, one_line

MOST_TESTED = 2000
"""Maximum number of cells tested, spread evenly over all cells; a test takes up to 1 ms."""


def summary(
    results: Sequence[Result], baselines: Collection[str] = (), pending: int = 0
) -> list[str]:
    """Summarise results in a few plain sentences. Topics without an answer are left out.

     - Failures: the number of cells with a number, and the reasons for missing numbers.
     - Winner: the scorer with the highest mean AUROC, the lead over the next scorer, and the
       number of cells in which the two differ significantly (see `winner`).
     - Scorers that are the wrong way round, with the number of cells (see `wrong_way_round`).
     - The next cell to look at (see `next_look`).

    If two results are for the same cell, the later result counts.

    Arguments:
        results: With scores, for the paired tests.
        baselines: Names of the scorers that are trivial baselines.
        pending: Number of cells without a result, which are not computed yet.
    """
    if not results:
        return [_counts([], pending) if pending else "There are no results."]
    last = list({result.cell: result for result in results}.values())
    comparison = compare(last, baselines)
    sentences = [
        _counts(last, pending),
        *([] if comparison is None else winner(comparison, baselines)),
        *wrong_way_round(last, None if comparison is None else comparison.first),
        *next_look(last),
    ]
    return [one_line(sentence) for sentence in sentences]


def _counts(results: Sequence[Result], pending: int) -> str:
    ok = sum(number(result) is not None for result in results)
    total = counted(len(results) + pending, "cell")
    if ok == len(results) and not pending:
        return f"All {total} have a number." if ok > 1 else "The only cell has a number."
    lacking = Counter(status_of(result) for result in results if number(result) is None)
    impossible = lacking.pop("unsupported", 0)
    reasons = ", ".join(
        [f"{count:,} {status}" for status, count in lacking.items()]
        + ([f"{pending:,} not computed yet"] if pending else [])
    )
    text = f"{ok:,} of {total} {'has' if ok == 1 else 'have'} a number"
    text += f": {reasons}" if reasons else ""
    if impossible:
        text += f"; {impossible:,} {'does' if impossible == 1 else 'do'} not apply (n/a)"
    return f"{text}."


def winner(comparison: Comparison, baselines: Collection[str]) -> list[str]:
    """Name the scorer with the highest mean AUROC and the lead over the next scorer.

    The mean gives the size of the lead. The certainty is given by the number of common cells in
    which the two scorers differ significantly, by paired tests, Holm-corrected over all cells.
    Cells share examples, so the count is not a test and must not be read like one.

    Returns:
        The sentence, and a second one if scorers are not compared.
    """
    (first, mean), (second, next_mean), *_ = comparison.means.items()
    one, other = (f"{x} (a trivial baseline)" if x in baselines else x for x in (first, second))
    lead = mean - next_mean
    ahead = f"{lead:.3f} above {other}" if lead >= 0.0005 else f"equal to {other}"
    if comparison.is_shown:
        told = _significance(comparison.common[first], comparison.common[second])
        text = f"{one} has the highest mean AUROC: {mean:.3f} {_over(comparison)}, {ahead}{told}."
    else:
        text = (
            f"No scorer is shown to have the highest mean AUROC: {one} is {ahead} "
            f"{_over(comparison)}, but has no number in {counted(comparison.failed, 'other')}."
        )
    if not comparison.apart:
        return [text]
    return [text, f"Not compared, for want of common cells: {', '.join(comparison.apart)}."]


def _over(comparison: Comparison) -> str:
    """Count the common cells, in words."""
    common = len(comparison.common[comparison.first])
    if common == comparison.cells:
        return f"over {counted(common, 'cell')}"
    scorers = len(comparison.means)
    of = "both" if scorers == 2 else f"all {scorers}"
    return (
        f"over {common:,} of {counted(comparison.cells, 'cell')}, those with a number for {of} "
        "compared scorers"
    )


def _significance(first: Mapping[Cell, Result], other: Mapping[Cell, Result]) -> str:
    """Count the places in which two scorers differ significantly, in words.

    A place is a cell without its seed: the test uses all trainings of a place, and its error
    includes their spread.
    """
    places: dict[Cell, list[tuple[Result, Result]]] = {}
    for cell in first:
        if cell in other:
            places.setdefault(cell._replace(seed=0), []).append((first[cell], other[cell]))
    every = list(places.values())[:: -(-len(places) // MOST_TESTED) or 1]
    tests = _tests([([a for a, _ in seeds], [b for _, b in seeds]) for seeds in every])
    if not tests:
        return "; the significance of the lead could not be tested"
    adjusted = holm([p for _, p in tests])
    told = [sign for (sign, _), p in zip(tests, adjusted, strict=True) if sign and p <= LEVEL]
    better, worse = told.count(1), told.count(-1)
    has_seeds = len(places) < len(first)
    noun = "place" if has_seeds else "cell"
    where = (
        f"among {counted(len(tests), f'tested {noun}')}"
        if len(tests) < len(places)
        else f"{noun} by {noun}"
    )
    covered = "with the spread between trainings" if has_seeds else "for the given trainings"
    how = f"(paired tests {covered}, Holm-corrected)"
    if not told:
        return f"; {where}, no difference is significant {how}"
    tied = len(tests) - better - worse
    return (
        f"; {where}, it is significantly better in {better:,}, worse in {worse:,}, and not "
        f"significantly different in {tied:,} {how}"
    )


def _tests(pairs: Sequence[tuple[Trainings, Trainings]]) -> list[tuple[int, float]]:
    """Return the sign of a - b and the p-value for each pair that can be tested."""
    testable = [pair for pair in pairs if are_comparable(*pair)]
    p_values = p_values_each(testable)
    return [(_sign(*pair), p) for pair, p in zip(testable, p_values, strict=True) if p is not None]


def _sign(a: Trainings, b: Trainings) -> int:
    of_a, of_b = (fmean(number(result) or 0.0 for result in side) for side in (a, b))
    return (of_a > of_b) - (of_a < of_b)
