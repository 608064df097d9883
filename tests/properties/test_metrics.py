"""What must hold for the metrics of any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.paired import delong_difference
from harness.metrics.roc import aupr, auroc, delong, fpr95

# whole numbers, so that the maps below keep the order and the ties exactly
values = st.integers(-50, 50).map(float)
scores = st.lists(values, min_size=2, max_size=40).map(np.array)
MONOTONE = {
    "shift": lambda x: x - 1e4,
    "scale": lambda x: 1e-9 * x,
    "cube": lambda x: x**3,
    "exp": np.exp,
    "arctan": np.arctan,
    "float32": lambda x: x.astype(np.float32),
}


@pytest.mark.parametrize("name", MONOTONE)
@given(scores_in=scores, scores_out=scores)
def test_only_the_order_of_the_scores_counts(name, scores_in, scores_out):
    mapped = MONOTONE[name](scores_in), MONOTONE[name](scores_out)
    for metric in (auroc, delong, aupr, fpr95):
        assert metric(*mapped) == metric(scores_in, scores_out)


@given(scores, scores)
def test_swapped_sides_and_reversed_scores_give_the_complement(scores_in, scores_out):
    area = delong(scores_in, scores_out)
    for other in (delong(scores_out, scores_in), delong(-scores_in, -scores_out)):
        assert other.auroc == pytest.approx(1 - area.auroc, abs=1e-12)
        assert other.se == pytest.approx(area.se, abs=1e-12)
        assert other.low == pytest.approx(1 - area.high, abs=1e-12)
        assert other.high == pytest.approx(1 - area.low, abs=1e-12)


@given(scores, scores)
def test_interval_contains_the_auroc_and_stays_in_its_range(scores_in, scores_out):
    area = delong(scores_in, scores_out)
    assert 0 <= area.low <= area.auroc <= area.high <= 1
    assert area.se >= 0


@given(scores, scores)
def test_se_is_zero_only_where_it_says_so(scores_in, scores_out):
    area = delong(scores_in, scores_out)
    flat = np.unique(np.concatenate([scores_in, scores_out])).size == 1
    assert (area.se == 0) == (area.auroc in (0.0, 1.0) or flat)


@given(st.data(), scores, scores)
def test_order_of_the_groups_does_not_count(data, scores_in, scores_out):
    shuffled_in = np.array(data.draw(st.permutations(scores_in)))
    shuffled_out = np.array(data.draw(st.permutations(scores_out)))
    for metric in (auroc, aupr, fpr95):
        assert metric(shuffled_in, shuffled_out) == metric(scores_in, scores_out)
    assert delong(shuffled_in, shuffled_out).se == pytest.approx(
        delong(scores_in, scores_out).se, abs=1e-12
    )


@given(st.data(), scores, scores)
def test_difference_is_antisymmetric_and_bounded_by_the_two_errors(data, a_in, a_out):
    b_in = np.array(data.draw(st.lists(values, min_size=a_in.size, max_size=a_in.size)))
    b_out = np.array(data.draw(st.lists(values, min_size=a_out.size, max_size=a_out.size)))
    there = delong_difference(a_in, a_out, b_in, b_out)
    back = delong_difference(b_in, b_out, a_in, a_out)
    assert (there.difference, there.z) == (-back.difference, -back.z)
    assert (there.se, there.p_value) == (back.se, back.p_value)
    assert 0 <= there.p_value <= 1
    # the tables rely on it to skip tests whose outcome is certain
    assert there.se <= delong(a_in, a_out).se + delong(b_in, b_out).se + 1e-12


@given(scores, scores)
def test_a_scorer_does_not_differ_from_itself(scores_in, scores_out):
    found = delong_difference(scores_in, scores_out, 2 * scores_in + 1, 2 * scores_out + 1)
    assert (found.difference, found.se, found.z, found.p_value) == (0.0, 0.0, 0.0, 1.0)


@given(scores, scores)
def test_scores_are_left_as_they_were(scores_in, scores_out):
    copies = scores_in.copy(), scores_out.copy()
    for metric in (auroc, delong, aupr, fpr95):
        metric(scores_in, scores_out)
    assert np.array_equal(copies[0], scores_in)
    assert np.array_equal(copies[1], scores_out)
