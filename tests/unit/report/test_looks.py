"""Looks: which scorers are in focus, and that names decide how things look."""

from __future__ import annotations

from zlib import crc32

import pytest

from harness.errors import BenchError
from harness.report.looks import DATASET_SLOTS, MOST_IN_FOCUS, looks, slots
from harness.results import Cell
from tests.made_results import made_result
from tests.made_suites import made_plan


@pytest.fixture(scope="module")
def rivals():
    return made_plan("rivals")


def results(plan, aurocs):
    """A result for each scorer in each cell of an epoch: 0.5, or the AUROC given."""
    cells = {planned.cell for planned in plan.cells if planned.cell.epoch == 16}
    cells = {Cell("m", "i", f"{k}", cell.scorer, 0, 1, 0) for cell in cells for k in range(3)}
    return [made_result(cell, auroc=aurocs.get(cell.scorer, 0.5)) for cell in sorted(cells)]


def test_a_slot_is_that_of_the_name_or_the_next_free_one():
    names = [f"name {k}" for k in range(20)]
    found = slots(names, 6)
    assert len(set(found.values())) == 20
    assert found[names[0]] == crc32(b"name 0") % 6
    for start in (0, 6, 12):
        assert {found[name] for name in names[start : start + 6]} == set(range(start, start + 6))
    again = slots(["a", "b", "a"], 6)
    assert list(again) == ["a", "b"]
    rivals = [name for name in names if crc32(name.encode()) % 6 == found[names[0]]]
    first, second = rivals[:2]
    assert slots([first, second], 6)[second] == (slots([first, second], 6)[first] + 1) % 6


def test_few_scorers_are_all_in_focus_and_look_the_same_in_each_suite(rivals):
    few = looks(made_plan("quickstart"), [])
    assert list(few.focus) == ["log-likelihood", "typicality", "gradient-gaussian"]
    assert few.others == {}
    many = looks(rivals, [])
    for name in ("log-likelihood", "gradient-gaussian"):
        assert few.focus[name] == many.focus[name]
    assert set(few.datasets.values()) <= set(range(2 * DATASET_SLOTS))
    assert len(set(few.datasets.values())) == 10


def test_the_landmarks_the_best_baseline_and_the_best_are_in_focus(rivals):
    best = {"waic-seeds": 0.9, "lid": 0.8, "dose": 0.7, "dose-svm": 0.6}
    found = looks(rivals, results(rivals, best | {"png-size": 0.55, "log-likelihood": 0.1}))
    assert set(found.focus) == {
        *("log-likelihood", "gradient-gaussian", "png-size", "waic-seeds", "lid", "dose"),
    }
    assert sorted(found.focus.values()) == list(range(MOST_IN_FOCUS))
    assert list(found.others.values()) == list(range(1, 25))
    assert found.scorers == [*found.focus, *found.others]


def test_variants_of_a_landmark_are_none(rivals):
    others = looks(rivals, results(rivals, {})).others
    assert {"gradient-gaussian-diagonal", "gradient-gaussian-ekfac"} <= set(others)


def test_models_of_a_family_share_a_colour(rivals):
    found = looks(rivals, [])
    assert found.families["glow-gray"] == found.families["glow-colour"]
    assert found.families["glow-gray"] != found.families["glow-linear"]
    assert found.members["glow-gray"] != found.members["glow-colour"]


def test_a_focus_is_as_asked(rivals):
    found = looks(rivals, [], ["lid", "dose", "lid"])
    assert set(found.focus) == {"lid", "dose"}
    with pytest.raises(BenchError, match=r"no scorer 'doze' \(did you mean 'dose'\?\)"):
        looks(rivals, [], ["doze"])
    seven = [planned.cell.scorer for planned in rivals.cells]
    with pytest.raises(BenchError, match="30 scorers, but at most 6 can be told apart"):
        looks(rivals, [], seven)
