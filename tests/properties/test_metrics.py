"""What must hold for the metrics of any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.evidence import evidence_of_scores, variances
from harness.metrics.paired import compared
from harness.metrics.roc import aupr, auroc, fpr95
from harness.results import Cell
from tests.made_results import estimated, scored_result

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
    for metric in (auroc, estimated, aupr, fpr95):
        assert metric(*mapped) == metric(scores_in, scores_out)


@given(scores, scores)
def test_swapped_sides_and_reversed_scores_give_the_complement(scores_in, scores_out):
    area = estimated(scores_in, scores_out)
    for other in (estimated(scores_out, scores_in), estimated(-scores_in, -scores_out)):
        assert other.auroc == pytest.approx(1 - area.auroc, abs=1e-12)
        assert other.se == pytest.approx(area.se, abs=1e-12)
        if area.low is not None:
            assert other.low == pytest.approx(1 - area.high, abs=1e-12)
            assert other.high == pytest.approx(1 - area.low, abs=1e-12)


@given(scores, scores)
def test_interval_contains_the_auroc_and_stays_in_its_range(scores_in, scores_out):
    area = estimated(scores_in, scores_out)
    if min(scores_in.size, scores_out.size) < 5:
        assert (area.low, area.high) == (None, None)
    else:
        assert 0 <= area.low <= area.auroc <= area.high <= 1
    assert area.se >= 0


@given(scores, scores)
def test_se_is_zero_only_where_it_says_so(scores_in, scores_out):
    area = estimated(scores_in, scores_out)
    flat = np.unique(np.concatenate([scores_in, scores_out])).size == 1
    assert (area.se == 0) == (area.auroc in (0.0, 1.0) or flat)


@given(st.data(), scores, scores)
def test_order_of_the_groups_does_not_count(data, scores_in, scores_out):
    shuffled_in = np.array(data.draw(st.permutations(scores_in)))
    shuffled_out = np.array(data.draw(st.permutations(scores_out)))
    for metric in (auroc, aupr, fpr95):
        assert metric(shuffled_in, shuffled_out) == metric(scores_in, scores_out)
    assert estimated(shuffled_in, shuffled_out).se == pytest.approx(
        estimated(scores_in, scores_out).se, abs=1e-12
    )


def difference(a_in, a_out, b_in, b_out):
    cell = Cell("m", "i", "o", "s", 1, 1, 0)
    return compared([scored_result(cell, a_in, a_out)], [scored_result(cell, b_in, b_out)])


@given(st.data(), scores, scores)
def test_difference_is_antisymmetric_and_bounded_by_the_two_errors(data, a_in, a_out):
    b_in = np.array(data.draw(st.lists(values, min_size=a_in.size, max_size=a_in.size)))
    b_out = np.array(data.draw(st.lists(values, min_size=a_out.size, max_size=a_out.size)))
    there, back = difference(a_in, a_out, b_in, b_out), difference(b_in, b_out, a_in, a_out)
    assert there.difference == -back.difference
    assert there.p_value == back.p_value
    if there.low is not None:
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-12)
        assert -1 <= there.low <= there.difference <= there.high <= 1
    if there.p_value is not None:
        assert 0.001 <= there.p_value <= 1 or min(a_in.size, a_out.size) >= 30
    # the tables rely on it to skip tests whose outcome is certain
    both = evidence_of_scores(a_in, a_out) - evidence_of_scores(b_in, b_out)
    se = np.sqrt(variances(both).examples[0])
    assert se <= estimated(a_in, a_out).se + estimated(b_in, b_out).se + 1e-12


@given(scores, scores)
def test_a_scorer_does_not_differ_from_itself(scores_in, scores_out):
    found = difference(scores_in, scores_out, 2 * scores_in + 1, 2 * scores_out + 1)
    assert found.difference == 0.0
    assert found.p_value in (1.0, None)


@given(scores, scores)
def test_scores_are_left_as_they_were(scores_in, scores_out):
    copies = scores_in.copy(), scores_out.copy()
    for metric in (auroc, estimated, aupr, fpr95):
        metric(scores_in, scores_out)
    assert np.array_equal(copies[0], scores_in)
    assert np.array_equal(copies[1], scores_out)
