"""Coverage of intervals in simulations with a fixed seed; all are in `benchmarks/coverage.py`.

Shares are compared with two standard errors of the simulation: with 1,000 runs .016 at .93, with
300 runs .029, with 80 runs .057, with 40 runs .081.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import measured
from benchmarks.simulated import ONE_SIDED, SHAPES, TWO_SIDED
from harness.metrics.intervals import Z_95, expected_trials

AREAS = (0.5, 0.8, 0.95, 0.99, 0.998)
BOTH = (ONE_SIDED, TWO_SIDED)
SMOOTH = [shape for shape in SHAPES if shape != "1 - A of OOD below all ID"]


def is_at_least(share, target, runs):
    return share >= target - 2 * math.sqrt(target * (1 - target) / runs)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("shape", SMOOTH)
@pytest.mark.parametrize(
    ("sizes", "target"), [((30, 20), 0.93), ((75, 75), 0.93), ((150, 100), 0.93)]
)
def test_the_interval_covers_the_auroc_of_other_examples(rng, shape, sizes, target, area):
    found = measured.of_examples(rng, shape, sizes, area, runs=1000)
    assert is_at_least(found.share, target, 1000)
    # An interval that always covers says nothing.
    perfect = 1 - 1 / (1 + Z_95**2 / float(expected_trials(1.0, *sizes)))
    assert found.length <= 1.6 * max(found.plain_length, perfect)


@pytest.mark.parametrize("shape", ["normal, OOD spread 1", "2 (1 - A) of OOD like ID"])
def test_near_1_a_stretch_of_the_plain_interval_does_not_cover(rng, shape):
    """A limit on the length, as a multiple of DeLong's, would contradict the coverage."""
    found = measured.near_one(rng, shape, (75, 75), 0.998, runs=1000)
    assert is_at_least(found.share, 0.93, 1000)
    assert found.ratio > 1.6
    assert not is_at_least(found.stretched, 0.93, 1000)
    assert found.least < found.ratio
    if shape == "2 (1 - A) of OOD like ID":
        assert found.least > 1.6


@pytest.mark.parametrize("shape", ["normal, OOD spread 1", "normal, OOD spread 2"])
def test_it_covers_with_1000_groups(rng, shape):
    for area in (0.8, 0.95, 0.99):
        found = measured.of_examples(rng, shape, (1000, 1000), area, runs=300)
        assert is_at_least(found.share, 0.93, 300)


def test_whole_outliers_are_the_known_exception(rng):
    """Without a group with an error no interval from the data can know of the outliers."""
    found = measured.of_examples(rng, "1 - A of OOD below all ID", (75, 75), 0.998, runs=1000)
    assert 0.8 < found.share < 0.93
    assert found.plain < 0.2


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("name", "runs", "areas"),
    [
        ("typicality", 300, (0.5, 0.8, 0.95, 0.998)),
        ("gradient-gaussian", 80, (0.5, 0.8, 0.95, 0.998)),
        ("dose (KDE)", 80, (0.5, 0.95, 0.998)),
        ("gradient-svm", 40, (0.5, 0.95)),
    ],
)
def test_the_interval_covers_another_fit(rng, name, runs, areas, kind):
    for area in areas:
        found = measured.of_fit(rng, name, kind, area, 75, (75, 75), runs)
        assert is_at_least(found.share, 0.93, runs)
        if kind == TWO_SIDED:  # the scorer hardly depends on its fit
            assert found.length <= 1.6 * found.plain_length


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("name", "runs"), [("typicality", 400), ("gradient-gaussian", 100), ("dose (KDE)", 80)]
)
def test_it_covers_another_fit_of_thirty(rng, name, runs, kind):
    for area in (0.5, 0.95):
        found = measured.of_fit(rng, name, kind, area, 30, (30, 20), runs)
        assert is_at_least(found.share, 0.90, runs)


def test_examples_alone_do_not_cover_another_fit(rng):
    """The simulation sees what it is for: without the fit's part the interval is too narrow."""
    found = measured.of_fit(rng, "typicality", ONE_SIDED, 0.8, 75, (75, 75), 400)
    assert not is_at_least(found.plain, 0.93, 400)


@pytest.mark.parametrize("areas", [(0.8, 0.8), (0.8, 0.9), (0.95, 0.99), (0.99, 0.998)])
@pytest.mark.parametrize("correlation", [0.5, 0.95])
def test_the_interval_of_a_difference_covers(rng, areas, correlation):
    for sizes in ((30, 20), (75, 50), (150, 100)):
        found = measured.of_difference(rng, areas, sizes, correlation, 600)
        assert is_at_least(found.share, 0.92, 600)


@pytest.mark.parametrize("kind", BOTH)
def test_the_interval_of_a_difference_covers_another_fit(rng, kind):
    for area in (0.8, 0.95):
        found = measured.of_fitted_difference(rng, kind, area, 75, (75, 75), 80)
        assert is_at_least(found.share, 0.92, 80)


@pytest.mark.parametrize("trainings", [2, 3, 5])
@pytest.mark.parametrize(("area", "spread"), [(0.8, 0.001), (0.8, 0.05), (0.8, 0.1), (0.99, 0.01)])
def test_the_interval_of_a_mean_covers_other_trainings(rng, area, spread, trainings):
    for sizes in ((30, 20), (150, 100)):
        found = measured.of_trainings(rng, area, spread, trainings, sizes, 0.5, 600)
        assert is_at_least(found.share, 0.93, 600)
    # with trainings alone, or with one standard error for all, the interval would be too narrow
    assert found.plain < 0.9


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.5, 0.9])
def test_the_interval_by_image_covers(rng, correlation):
    for area in (0.5, 0.8, 0.95):
        found = measured.of_images(rng, area, correlation, 100, 600)
        assert is_at_least(found.share, 0.93, 600)
        if correlation >= 0.5:
            assert found.length < found.plain_length
        if correlation < 0:
            assert found.plain < found.share - 0.02
