"""The interval of a mean AUROC for examples, fit and training together: a literal computation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from harness.metrics.estimates import estimate, estimate_of, limits
from harness.metrics.evidence import evidence_of
from tests.statistics import literal
from tests.statistics.made import literally, result, row, scores


@pytest.mark.parametrize("shift", [-1.5, 0.0, 1.0, 2.5, 9.0])
@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize("blocks", [0, 5, 10])
@pytest.mark.parametrize("z", [1.6448536269514722, 1.959963984540054])
def test_limits_are_the_literal_ones(shift, seeds, blocks, z):
    rng = np.random.default_rng(1)
    trainings = scores(rng, shift + rng.normal(0, 0.2, seeds), (22, 17), blocks=blocks)
    low, high = limits(evidence_of([row(trainings)]), z)
    expected = literal.limits(literally(trainings), z)
    assert (low[0], high[0]) == pytest.approx(expected, abs=2e-5)
    assert 0 <= low[0] <= high[0] <= 1


@pytest.mark.parametrize("seeds", [1, 3])
def test_limits_by_image_are_the_literal_ones(seeds):
    rng = np.random.default_rng(2)
    trainings = scores(rng, [0.9] * seeds, (20, 20), correlation=0.8)
    low, high = limits(replace(evidence_of([row(trainings)]), is_by_image=True))
    z = stats.norm.ppf(0.975)
    expected = literal.limits(literally(trainings), z, literal.of_images)
    assert (low[0], high[0]) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("shift", [-3.2, -2.5, 2.5, 3.2])
def test_joined_parts_never_leave_the_scale(shift):
    """Near 0 and 1 the root of the sum of squares is longer than the way to the end."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        trainings = scores(rng, [shift], (15, 12), blocks=10)
        found = estimate_of(evidence_of([[result(trainings[0])]]))
        assert 0.0 <= found.low <= found.auroc <= found.high <= 1.0


@pytest.mark.parametrize("seeds", [1, 2, 4])
@pytest.mark.parametrize("spread", [0.0, 0.6])
def test_the_standard_error_is_the_root_of_the_parts(seeds, spread):
    rng = np.random.default_rng(4)
    trainings = scores(rng, 1 + rng.normal(0, spread, seeds), (25, 18), blocks=10)
    found, parts = estimate(row(trainings)), literal.variances(literally(trainings))
    given = parts.all_examples + parts.all_fit
    whole = max(parts.training + parts.examples + parts.fit, given)
    assert found.se == pytest.approx(math.sqrt(whole), rel=1e-9)
    assert found.se_examples == pytest.approx(math.sqrt(parts.all_examples), rel=1e-9)
    assert found.se_fit == pytest.approx(math.sqrt(parts.all_fit), rel=1e-9)
    if seeds == 1:
        assert found.se_training is None
    else:
        assert found.se_training == pytest.approx(math.sqrt(whole - given), abs=1e-9)


def test_few_groups_have_a_standard_error_but_no_interval():
    found = estimate_of(
        evidence_of([[result(scores(np.random.default_rng(5), [1.0], (30, 4))[0])]])
    )
    assert found.se > 0
    assert (found.low, found.high) == (None, None)
    enough = estimate_of(
        evidence_of([[result(scores(np.random.default_rng(5), [1.0], (30, 5))[0])]])
    )
    assert enough.low < enough.high
