"""A little of the fuzzing, the same inputs each time; `fuzz.py` does it at length."""

from __future__ import annotations

import pytest

from tests.reliability.fuzz import attack
from tests.reliability.targets import TARGETS

COUNTS = {"suites": 30, "weights": 30}
"""Suites take a hundredth of a second each; weights need torch."""


FOUND = [("matlab", 4178), ("batches", 5024), ("batches", 6585), ("batches", 8083)]
"""Of seed 1: a file that crashed SciPy's reader; messages that quoted a whole file."""


@pytest.mark.parametrize(("name", "number"), FOUND)
def test_what_fuzzing_found_stays_mended(name, number, tmp_path):
    assert list(attack(name, range(number, number + 1), tmp_path, seed=1)) == []


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_damaged_inputs_end_in_clean_errors(name, tmp_path):
    assert list(attack(name, range(COUNTS.get(name, 60)), tmp_path)) == []
