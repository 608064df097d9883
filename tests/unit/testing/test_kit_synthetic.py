"""Made-up statistics and the mapping that leads into temptation."""

from __future__ import annotations

import numpy as np
import pytest

from harness.registry.registry import Registry
from harness.testing.fake_statistics import (
    FakeStatistic,
    Lure,
    base_name,
    copied,
    draw,
    taken,
)

REGISTRY = Registry()
KNOWN = {name: FakeStatistic.declared(REGISTRY, name) for name in REGISTRY.names("statistics")}
LAYOUTS = {**KNOWN, "log_prob@other:4": KNOWN["log_prob"]}


def lure():
    inputs = {"a": np.zeros(3)}
    return Lure(inputs, {"a": np.ones(3)})


@pytest.mark.parametrize("size", [1, 5])
def test_layouts(size):
    statistics = draw(LAYOUTS, groups=4, size=size, side="in", seed=0)
    shapes = {name: values.shape for name, values in statistics.items()}
    assert shapes == {
        name: (*((4, size) if fake.per == "example" else (4,)), len(fake.features))
        for name, fake in LAYOUTS.items()
    }
    assert shapes["layer_gradient_sq_norms"] == (4, 7)
    assert shapes["log_prob@other:4"] == (4, size, 1)
    assert {values.dtype for values in statistics.values()} == {np.dtype("float64")}


def test_the_sides_differ_as_they_should():
    inside = draw(LAYOUTS, groups=50, size=5, side="in", seed=0)
    outside = draw(LAYOUTS, groups=50, size=5, side="out", seed=1)
    assert outside["log_prob"].max() < inside["log_prob"].min()
    name = "layer_gradient_sq_norms"
    assert (np.median(outside[name], axis=0) > inside[name].max(axis=0)).all()
    name = "jacobian_spectrum"
    assert (np.median(outside[name], axis=(0, 1)) < inside[name].min(axis=(0, 1))).all()
    assert (np.diff(inside[name]) <= 0).all()
    assert not np.array_equal(inside["log_prob"], inside["log_prob@other:4"])


def test_terms_sum_to_log_probabilities_like_those_of_log_prob():
    for side, expected in (("in", -1000.0), ("out", -1300.0)):
        drawn = draw(KNOWN, groups=400, size=5, side=side, seed=0)
        total = drawn["log_prob_terms"].sum(-1)
        assert total.mean() == pytest.approx(drawn["log_prob"].mean(), abs=3.0)
        assert total.mean() == pytest.approx(expected, abs=3.0)
        assert total.std() == pytest.approx(30.0, abs=3.0)
        assert np.ptp(drawn["log_prob_terms"][..., 4]) == 0.0


def test_every_column_has_a_name():
    for fake in KNOWN.values():
        assert fake.is_declared
        assert len(set(fake.features)) == len(fake.features)
    assert FakeStatistic.of_layout(("group", 2)).features == ["column 0", "column 1"]


def test_draws_are_seeded():
    first, again, other = (
        draw(KNOWN, groups=4, size=1, side="in", seed=seed)["log_prob"] for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_base_name():
    names = ("log_prob", "log_prob@other:4", "log_prob:4", "log_prob/1", "log_prob@other:4/1")
    assert {base_name(name) for name in names} == {"log_prob"}


def test_copied_and_taken():
    statistics = {"a": np.arange(6.0).reshape(3, 2)}
    copied(statistics)["a"][:] = 0
    assert taken(statistics, [2, 0])["a"].tolist() == [[4, 5], [0, 1]]


def test_reading_inputs_is_no_question():
    statistics = lure()
    assert statistics["a"].tolist() == [0, 0, 0]
    assert "a" in statistics
    assert statistics.asked == []


def test_asking_by_name_is_noted_and_answered():
    statistics = lure()
    assert statistics["out"].tolist() == [1, 1, 1]
    assert statistics.get("a@out") is not None
    assert "labels" in statistics
    assert statistics.asked == ["out", "a@out", "labels"]


def test_a_copy_of_all_is_no_question():
    statistics = lure()
    assert dict(statistics).keys() == {"a", "out", "in", "labels"}
    assert len(statistics) == 4
    assert statistics.shown
    assert statistics.asked == []
