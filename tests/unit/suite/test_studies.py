"""The suites of studies that come with it: each can be planned, without its data."""

from __future__ import annotations

import pytest

from harness.plan.expand import make_plan
from harness.suite import load_suite
from harness.suite.toml.files import shipped_suites

STUDIES = shipped_suites() / "studies"
CELLS = {
    "one-channel": 2 * 9 * 2 * 3,  # pairs, epochs, group sizes, scorers
    "photographs": 2 * 8 * 2 * 3,
    "readings": 4 * 9 * 2 * 3,  # models, epochs, group sizes, scorers
    "readings-overlap": 4 * 9 * 2 * 3,
    "seeds": 2 * 2 * 6 * 5 * 2 * 3 + 2 * 5 * 5 * 2 * 3,  # OOD sets or models, epochs, seeds, ...
    "model-families": 2 * 5 * 3 * 2 * (9 * 5 + 3),  # OOD sets, epochs, seeds, group sizes, scorers
    "text": 5 * 6 * 3 * 2 * 8,  # OOD sets, epochs, seeds, group sizes, scorers
    "text-languages": 9 * 6 * 3 * 2 * 8,
    "representation": 2 * 3 * 2 * (2 * 10 + 4 * 6) + 3 * 2 * 3 * 2,  # epochs, seeds, ...
    "every-scorer": 2 * 2 * 31,  # epochs, group sizes, scorers
}


def test_every_study_is_listed_here():
    assert {path.stem for path in STUDIES.glob("*.toml")} == set(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_a_study_compares(name):
    cells = make_plan(load_suite(STUDIES / f"{name}.toml"), {}).cells
    assert len({planned.cell for planned in cells}) == len(cells) == CELLS[name]


def test_the_readings_differ_in_what_the_paper_leaves_open():
    suite = load_suite(STUDIES / "readings.toml")
    assert {
        (model.options["shared_steps"], model.options["dequantisation"])
        for model in suite.suite.models.values()
    } == {(shared, noise) for shared in (True, False) for noise in ("uniform", "none")}
    overlap = load_suite(STUDIES / "readings-overlap.toml")
    assert {comparison.fit_overlap for comparison in suite.suite.comparisons} == {"none"}
    assert {comparison.fit_overlap for comparison in overlap.suite.comparisons} == {"paper"}
    assert overlap.suite.models == suite.suite.models
    assert overlap.suite.scorers == suite.suite.scorers
