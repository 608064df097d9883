"""How early is enough: the search spelled out, and what a further epoch may change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report.epochs import epoch_tables
from tests.statistics import literal
from tests.statistics.made import literally, result, scores

Z = 1.6448536269514722


def literal_answer(epochs, margin, against):
    """The earliest epoch reached, going back from the last; `against` is all others or the last.

    Arguments:
        epochs: Trainings by epoch, ascending.
        margin: Largest loss that counts as none.
        against: "any" or "last".
    """
    order = list(epochs)
    found = None
    for epoch in reversed(order):
        others = order if against == "any" else order[-1:]
        own = literally(epochs[epoch])
        uppers = [
            literal.difference_limits(literally(epochs[other]), own, "same", Z)[1]
            for other in others
            if other != epoch
        ]
        if any(upper >= margin for upper in uppers):
            return found
        found = epoch
    return found


def answers(epochs, margin):
    """The epochs named by the report, by rule."""
    rows = [
        result(of, epoch=epoch, seed=seed)
        for epoch, trainings in epochs.items()
        for seed, of in enumerate(trainings)
    ]
    (table,) = epoch_tables(rows, margin)
    return {answer.rule: answer.epoch for answer in table.rows[0].answers}


def curve(rng, shifts, sizes, *, seeds=1, blocks=0, correlation=0.99):
    """Trainings by epoch: 1, 2, 4 and so on."""
    each = np.repeat(shifts, seeds)
    flat = scores(rng, each, sizes, blocks=blocks, correlation=correlation, spread=1.0)
    starts = range(0, len(flat), seeds)
    return {2**place: flat[at : at + seeds] for place, at in enumerate(starts)}


@pytest.mark.parametrize("sizes", [(14, 18), (60, 50)])
@pytest.mark.parametrize(("seeds", "blocks"), [(1, 0), (1, 10), (3, 0), (3, 10)])
def test_the_answers_are_the_literal_ones(sizes, seeds, blocks):
    rng, named = np.random.default_rng(1), set()
    for shifts in ([0.5, 1.5, 1.5, 1.5], [2.0, 2.1, 2.0], [1.5, 2.5, 1.2, 2.5], [9.0, 9.0]):
        epochs = curve(rng, shifts, sizes, seeds=seeds, blocks=blocks)
        for margin in (0.02, 0.1, 0.25):
            found = answers(epochs, margin)
            for rule in ("any", "last"):
                assert found[rule] == literal_answer(epochs, margin, rule)
                named.add(found[rule])
            means = {e: literal.mean_parts(literally(of)).auroc for e, of in epochs.items()}
            assert found["paper"] == max(means, key=means.__getitem__)
    assert None in named
    assert len(named) >= 3


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shifts=st.lists(st.floats(0.0, 5.0), min_size=3, max_size=7),
    data=st.data(),
    margin=st.sampled_from([0.01, 0.05, 0.15, 0.4]),
)
def test_a_further_epoch_never_makes_an_earlier_one_enough(seed, shifts, data, margin):
    """Rule `any` moves to a later epoch or to the new one; it never moves back to an old one."""
    epochs = curve(np.random.default_rng(seed), shifts, (20, 20))
    added = data.draw(st.sampled_from(list(epochs)))
    before = answers({e: of for e, of in epochs.items() if e != added}, margin)["any"]
    after = answers(epochs, margin)["any"]
    if after != added and after is not None:
        assert before is not None
        assert before <= after


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), shifts=st.lists(st.floats(0, 5), min_size=2, max_size=6))
def test_a_larger_margin_never_names_a_later_epoch(seed, shifts):
    epochs = curve(np.random.default_rng(seed), shifts, (20, 20))
    for rule in ("any", "last"):
        named = [answers(epochs, margin)[rule] for margin in (0.02, 0.1, 0.3)]
        places = [np.inf if epoch is None else epoch for epoch in named]
        assert places == sorted(places, reverse=True)
