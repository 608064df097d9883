"""The origin of stored statistics."""

from __future__ import annotations

import pytest

from harness.scoring.reader import _trained_by

GPU = {"machine": "NVIDIA A100", "device": "cuda:1", "threads": 4}
CPU = {"machine": "x86_64 CPU with AVX512", "device": "cpu", "threads": 1}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (GPU, {"trained_by": "NVIDIA A100"}),  # where threads do not change numbers
        (CPU, {"trained_by": "x86_64 CPU with AVX512, 1 thread"}),
        (CPU | {"file": "epoch-1.pt"}, {}),
        ({"device": "cpu", "threads": 1}, {}),  # stored by an earlier version
    ],
)
def test_a_training_is_told_by_its_kind_of_machine(facts, expected):
    assert _trained_by(facts) == expected
