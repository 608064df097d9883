"""Marks of whole columns, and the correction for the choice of the best: spelled out."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest

from harness.metrics.multiple import against_best, holm
from harness.metrics.paired import is_surely_different
from harness.report.significance import marks, numbers
from tests.statistics import literal
from tests.statistics.made import literally, result, row, scores


def test_known_factors():
    assert against_best([0.001] * 11) == pytest.approx([0.066] * 11)
    assert against_best([0.0001, 0.04, 0.02]) == pytest.approx([0.0006, 0.06, 0.06])
    assert against_best([0.03]) == [0.03]  # a single test needs no correction
    assert against_best([]) == []


@pytest.mark.parametrize("tests", [1, 2, 5, 11])
def test_the_correction_is_the_literal_one(tests):
    rng = np.random.default_rng(1)
    for _ in range(30):
        p_values = list(np.round(rng.uniform(0, 0.2, tests) ** 2, 3))  # ties occur
        found = against_best(p_values)
        assert found == pytest.approx(literal.against_best(p_values))
        assert all(x >= y for x, y in zip(found, holm(p_values), strict=True))


def literal_marks(column):
    """The marks of scorers, each a list of trainings."""
    exact = [literal.mean_parts(literally(scorer)).auroc for scorer in column]
    means = [round(mean, 12) for mean in exact]  # equal counts are equal, whatever the rounding
    best = means.index(max(means))
    p_values = {}
    for place, scorer in enumerate(column):
        if place != best:
            p_values[place] = literal.p_value(literally(column[best]), literally(scorer), "same")
    adjusted = literal.against_best([1.0 if p is None else p for p in p_values.values()])
    found = {best: "best"}
    for (place, p), corrected in zip(p_values.items(), adjusted, strict=True):
        if means[place] == means[best]:
            found[place] = "best"
        elif p is None:
            found[place] = "untested"
        else:
            found[place] = "worse" if corrected <= 0.05 else "tied"
    return [found[place] for place in range(len(column))]


def marked(*columns):
    """The marks by the report."""
    cells = [[dict(enumerate(row(scorer))) for scorer in column] for column in columns]
    return marks(cells, [[numbers(seeds) for seeds in column] for column in cells])


def column_of(rng, shifts, sizes, *, seeds=1, blocks=0):
    each = np.repeat(shifts, seeds) + (rng.normal(0, 0.1, len(shifts) * seeds) if seeds > 1 else 0)
    flat = scores(rng, each, sizes, blocks=blocks, correlation=0.8)
    return [flat[at : at + seeds] for at in range(0, len(flat), seeds)]


@pytest.mark.parametrize("sizes", [(8, 30), (15, 12), (45, 40)])
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("blocks", [0, 10])
def test_the_marks_of_columns_are_the_literal_ones(sizes, seeds, blocks):
    rng = np.random.default_rng(2)
    columns = [
        column_of(rng, shifts, sizes, seeds=seeds, blocks=blocks)
        for shifts in ([1.0, 1.2], [0.2, 0.9, 1.5, 1.6, 1.6], [3.0, 2.0, 1.0, -4.0, 3.1, 2.9, 2.2])
        for _ in range(2)
    ]
    found = marked(*columns)
    assert found == [literal_marks(column) for column in columns]
    words = {mark for column in found for mark in column}
    assert words == ({"best", "untested"} if min(sizes) < 10 else {"best", "tied", "worse"})


def test_rows_equal_to_the_best_are_best():
    rng = np.random.default_rng(3)
    same = scores(rng, [1.5], (40, 40))
    column = [same, scores(rng, [0.1], (40, 40)), same]
    assert marked(column) == [literal_marks(column)]
    assert marked(column)[0] == ["best", "worse", "best"]


def test_scorers_without_a_test_could_have_been_the_best_too():
    """A third scorer that cannot be tested makes the factor 3 in place of 1."""
    rng = np.random.default_rng(5)
    found = set()
    for _ in range(60):
        pair = [[of] for of in scores(rng, [1.0, 1.45], (40, 40))]
        p = literal.p_value(*map(literally, pair), "same")
        if 0.02 < p < 0.05:
            cells = [{0: result(of)} for (of,) in pair]
            worse = min((cell[0] for cell in cells), key=lambda found: found.metrics.auroc)
            third = replace(worse, scores_in=None)
            column = [*cells, {0: third}]
            (alone,), (three,) = (
                marks([each], [[numbers(seeds) for seeds in each]]) for each in (cells, column)
            )
            assert sorted(alone) == ["best", "worse"]
            assert sorted(three) == ["best", "tied", "untested"]
            found.add(p)
    assert len(found) > 3


def with_wins(wins):
    """Scores of ten groups a side with so many wins of OOD groups, of 100."""
    scores_in = np.arange(10.0)
    below = [min(10, max(0, wins - 10 * place)) for place in range(10)]
    return scores_in, np.array(below) - 0.5, []


def test_means_that_differ_by_rounding_are_equal():
    """.60 + .61 + .93 is .60 + .60 + .94, but the means of the floats differ in the last digit."""
    column = [[with_wins(wins) for wins in each] for each in ([60, 61, 93], [60, 60, 94])]
    cells = [dict(enumerate(row(scorer))) for scorer in column]
    first, second = (fmean(numbers(seeds).values()) for seeds in cells)
    assert 0 < abs(first - second) < 1e-15
    assert marked(column) == [["best", "best"]]


def test_what_is_sure_without_scores_is_significant_with_them():
    """The short cut by standard errors alone must never mark what the test would not mark."""
    rng, sure = np.random.default_rng(4), 0
    for blocks in (0, 5, 10):
        for _ in range(10):
            shifts = rng.uniform(0, 4, 5)
            column = column_of(rng, shifts, (60, 50), blocks=blocks)
            for (a,), (b,) in combinations(column, 2):
                if is_surely_different(result(a), result(b), tests=10):
                    sure += 1
                    assert literal.p_value(literally([a]), literally([b]), "same") <= 0.005
    assert sure > 20
