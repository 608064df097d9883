"""Notes on splits: values that are faint for the levels of the domain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.contents import Contents
from harness.data.folder import PreparedDataset
from harness.data.questions import count_shared, notes_on_copies, notes_on_values
from harness.domain import Images


@pytest.mark.parametrize(
    ("bits", "largest", "levels"),
    [(8, 15, 255), (8, 16, None), (5, 1, 31), (5, 2, None), (4, 1, None), (1, 1, None)],
)
def test_a_split_is_faint_below_a_sixteenth_of_its_levels(bits, largest, levels):
    prepared = PreparedDataset("x", Images(1, 2, 2, bits=bits), Path(), "key", {"test": 2}, {})
    contents = Contents.of(np.uint8([0, 0, 0, 0, 0, 0, 0, largest]).reshape(2, 1, 2, 2))
    expected = f"the largest value in the test split of x is {largest}, of {levels} possible"
    assert notes_on_values(prepared, "test", contents) == ([expected] if levels else [])


def test_shared_examples_count_each_time():
    digests = np.array([5, 1, 5, 9, 2**64 - 1], np.uint64)
    assert count_shared(digests, np.array([5], np.uint64)) == 2
    assert count_shared(digests, np.array([0, 9, 2**64 - 1], np.uint64)) == 2
    assert count_shared(digests, np.array([2], np.uint64)) == 0


def test_copies_are_counted():
    digests = np.array([1, 2, 1], np.uint64)
    assert notes_on_copies("the 3 examples", digests, "image") == [
        "the 3 examples contain only 2 distinct images"
    ]
    assert notes_on_copies("the 2 examples", digests[:2], "image") == []
