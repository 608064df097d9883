"""Draws: disjoint roles, prefixes of one permutation, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.roles import Draw
from harness.errors import DataError


def draw(role, n_in=None, n_fit=None, n_out=None, overlap="none", seed=0):
    return Draw("digits", role, n_in, n_fit, n_out, overlap, seed)


@given(st.integers(2, 60), st.data())
def test_no_example_has_two_roles(count, data):
    n_in = data.draw(st.none() | st.integers(1, count - 1))
    inside = draw("in", n_in=n_in).ids(count)
    fit = draw("fit", n_in=n_in).ids(count)
    assert sorted([*inside, *fit]) == list(range(count))


@given(st.integers(2, 60), st.data())
def test_paper_overlap_fits_on_the_whole_split(count, data):
    n_in = data.draw(st.integers(1, count))
    fit = draw("fit", n_in=n_in, overlap="paper").ids(count)
    assert sorted(fit) == list(range(count))
    assert set(draw("in", n_in=n_in).ids(count)) <= set(fit)


def test_defaults_are_a_thousand_or_half():
    assert len(draw("in").ids(600)) == 300
    assert len(draw("in").ids(10_000)) == 1000
    assert len(draw("fit").ids(10_000)) == 9000
    assert len(draw("out").ids(600)) == 600
    assert len(draw("out").ids(10_000)) == 1000


def test_a_larger_draw_begins_with_the_smaller():
    assert np.array_equal(draw("out", n_out=50).ids(600), draw("out", n_out=80).ids(600)[:50])


def test_the_draw_follows_its_seed():
    assert np.array_equal(draw("in").ids(600), draw("in").ids(600))
    assert not np.array_equal(draw("in").ids(600), draw("in", seed=1).ids(600))


def test_the_draw_is_the_same_on_every_machine():
    assert draw("in", n_in=6).ids(600).tolist() == [534, 94, 142, 574, 466, 127]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            draw("in", n_in=601),
            "n_in = 601, but the test split of 'digits' has 600 examples left for role 'in'",
        ),
        (
            draw("fit", n_in=500, n_fit=101),
            "n_fit = 101, but the test split of 'digits' has 100 examples left for role 'fit'",
        ),
        (
            draw("out", n_out=601),
            "n_out = 601, but the test split of 'digits' has 600 examples left for role 'out'",
        ),
    ],
)
def test_too_few_examples(asked, message):
    with pytest.raises(DataError) as caught:
        asked.ids(600)
    assert str(caught.value) == message


def test_a_split_of_one_example_has_nobody_to_fit_on():
    with pytest.raises(DataError, match="n_in = 0"):
        draw("in").ids(1)
