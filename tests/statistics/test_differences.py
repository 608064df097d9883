"""Differences of AUROCs: limits and p-values, spelled out."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from harness.metrics.evidence import evidence_of
from harness.metrics.paired import compared, difference_limits, p_values, p_values_each
from tests.statistics import literal
from tests.statistics.made import literally, row, scores

CASES = [("same", (1, 1)), ("same", (2, 2)), ("same", (5, 5))]
CASES += [("separate", counts) for counts in ((1, 1), (3, 3), (2, 5), (1, 4))]


def two(rng, counts, shifts=(0.8, 1.3), sizes=(33, 40), blocks=0, correlation=0.6, spread=0.2):
    """Two scorers, each with its trainings, on the same groups."""
    each = np.repeat(shifts, counts) + rng.normal(0, spread, sum(counts))
    both = scores(rng, each, sizes, blocks=blocks, correlation=correlation)
    return both[: counts[0]], both[counts[0] :]


def evidence(*sides):
    return [evidence_of([row(side)]) for side in sides]


@pytest.mark.parametrize(("kind", "counts"), CASES)
@pytest.mark.parametrize("blocks", [0, 10])
@pytest.mark.parametrize("shifts", [(0.8, 1.3), (2.6, 4.5), (-4.0, 9.0), (9.0, 9.0)])
@pytest.mark.parametrize("z", [1.6448536269514722, 1.959963984540054])
def test_limits_are_the_literal_ones(kind, counts, blocks, shifts, z):
    a, b = two(np.random.default_rng(1), counts, shifts, (20, 25), blocks)
    low, high = difference_limits(*evidence(a, b), kind, z)
    expected = literal.difference_limits(literally(a), literally(b), kind, z)
    assert (low[0], high[0]) == pytest.approx(expected, abs=1e-4)
    assert -1 <= low[0] <= high[0] <= 1


@pytest.mark.parametrize(("kind", "counts"), CASES)
@pytest.mark.parametrize("blocks", [0, 10])
def test_an_interval_without_0_has_a_significant_test(kind, counts, blocks):
    """Also for trainings that hardly differ: their spread alone would give shorter intervals."""
    rng = np.random.default_rng(8)
    found = set()
    for gap, spread in product((0.1, 0.2, 0.3, 0.4), (0.001, 0.1, 0.4)):
        for _ in range(4):
            sides = two(rng, counts, (0.6, 0.6 + gap), (34, 40), blocks, 0.9, spread)
            a, b = evidence(*sides)
            (low,), (high,) = difference_limits(a, b, kind)
            (p,) = p_values(a, b, kind)
            parts = literal.variances_of_difference(*map(literally, sides), kind)
            least = literal.root_of_squares(
                [
                    1.959964 * math.sqrt(parts.all_examples),
                    literal.student(1.959964, 9) * math.sqrt(parts.all_fit) if blocks else 0.0,
                ]
            )
            is_shortest = high - low < 2 * least + 1e-6
            is_significant = low > 0 or high < 0
            assert p <= 0.05 or not is_significant
            assert is_significant or not is_shortest or p > 0.05
            found.add((is_significant, is_shortest))
    assert {is_significant for is_significant, _ in found} == {True, False}
    if kind == "same" and min(counts) > 1:
        assert {is_shortest for _, is_shortest in found} == {True, False}


def test_a_training_that_separates_perfectly_has_no_covariance_by_rounding():
    """One of two trainings has A = 1, so their covariance is 0, and the correlation r too."""
    rng = np.random.default_rng(9)
    for _ in range(20):
        a = scores(rng, [1.0, 1.2], (20, 25))
        b = [*scores(rng, [2.0], (20, 25)), *scores(rng, [20.0], (20, 25))]
        low, high = difference_limits(*evidence(a, b), "same", 1.96)
        expected = literal.difference_limits(literally(a), literally(b), "same", 1.96)
        assert (low[0], high[0]) == pytest.approx(expected, abs=1e-4)


def test_either_of_wald_and_mover_can_be_the_wider():
    """Without both branches in the cases above, one formula could be wrong unseen."""
    wider = set()
    rng = np.random.default_rng(2)
    for shifts in ((0.8, 1.3), (2.6, 4.5)):
        for _ in range(20):
            a, b = (literally(side) for side in two(rng, (1, 1), shifts))
            d = a[0].auroc - b[0].auroc
            half = 1.959964 * np.sqrt(literal.variances(literal.minus(a, b)).examples)
            low, high = literal.difference_limits(a, b, "same", 1.959964)
            wider |= {("low", low < d - half - 1e-9), ("high", high > d + half + 1e-9)}
    assert len(wider) == 4


@pytest.mark.parametrize(("kind", "counts"), CASES)
@pytest.mark.parametrize("blocks", [0, 5, 10])
@pytest.mark.parametrize("sizes", [(30, 33), (29, 40), (14, 22), (60, 10)])
@pytest.mark.parametrize("gap", [0.1, 0.6, 2.5])
def test_p_values_solve_the_equation(kind, counts, blocks, sizes, gap):
    a, b = two(np.random.default_rng(3), counts, (0.6, 0.6 + gap), sizes, blocks)
    (found,) = p_values(*evidence(a, b), kind)
    expected = literal.p_value(literally(a), literally(b), kind)
    assert found == pytest.approx(expected, rel=2e-3, abs=2e-9)
    (mirrored,) = p_values(*evidence(b, a), kind)
    assert mirrored == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("sizes", [(9, 40), (40, 9)])
def test_fewer_than_ten_groups_are_not_tested(sizes):
    a, b = two(np.random.default_rng(4), (1, 1), (0.0, 9.0), sizes)
    assert p_values(*evidence(a, b), "same") == [None]
    assert literal.p_value(literally(a), literally(b), "same") is None


def test_equal_scorers_have_p_1():
    a, _ = two(np.random.default_rng(5), (1, 1))
    assert p_values(*evidence(a, a), "same") == [1.0]


@pytest.mark.parametrize(("kind", "counts"), CASES)
def test_a_comparison_holds_the_limits_and_the_p_value(kind, counts):
    a, b = two(np.random.default_rng(6), counts, blocks=10)
    found = compared(row(a), row(b), kind)
    low, high = difference_limits(*evidence(a, b), kind)
    assert (found.low, found.high) == (low[0], high[0])
    assert [found.p_value] == p_values(*evidence(a, b), kind)
    means = [literal.mean_parts(literally(side)).auroc for side in (a, b)]
    assert found.difference == pytest.approx(means[0] - means[1], abs=1e-12)
    assert found.covers_training == (min(counts) > 1)


def test_many_pairs_at_once_have_the_p_values_of_single_pairs(monkeypatch):
    monkeypatch.setattr("harness.metrics.paired.AT_ONCE", 300)
    rng = np.random.default_rng(7)
    pairs = [
        tuple(row(side) for side in two(rng, (count, count), sizes=sizes, blocks=blocks))
        for sizes in ((33, 40), (14, 22))
        for count in (1, 3)
        for blocks in (0, 10)
        for _ in range(3)
    ]
    expected = [compared(a, b).p_value for a, b in pairs]
    assert p_values_each(pairs) == pytest.approx(expected, rel=1e-9)
