"""Conformal p-values flag no more in-distribution inputs than they promise, on average.

With exchangeable scores the share flagged has the mean floor(alpha (n + 1)) / (n + 1), and with
ties at most that. Means over R calibration sets are compared with three standard errors.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture

from harness.detectors.conformal import most_flagged, p_values

RUNS, NEW = 2000, 20


def continuous(rng, size):
    return rng.normal(size=size)


def rounded(rng, size):
    return np.round(rng.normal(size=size), 1)


def mostly_equal(rng, size):
    return (rng.random(size) < 0.1).astype(float)


def exchangeable(rng, size):
    """Dependent scores: those of a run share a part."""
    return rng.normal(size=size) * rng.exponential() + rng.normal()


def shares(rng, draw, n, alpha, runs=RUNS):
    """The share of new scores that are flagged, for each calibration set."""
    level = most_flagged(alpha, n)
    found = []
    for _ in range(runs):
        scores = draw(rng, n + NEW)
        found.append(np.mean(p_values(scores[:n], scores[n:]) <= level))
    return np.array(found)


@pytest.mark.parametrize("n", [19, 99, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.33])
@pytest.mark.parametrize("draw", [continuous, rounded, mostly_equal, exchangeable])
def test_the_share_flagged_is_at_most_as_promised(draw, alpha, n):
    found = shares(np.random.default_rng(n), draw, n, alpha, RUNS if n < 1000 else RUNS // 4)
    promised = math.floor(alpha * (n + 1) + 1e-9) / (n + 1)
    error = 3 * found.std() / math.sqrt(len(found))
    assert found.mean() <= promised + error
    if draw in (continuous, exchangeable):  # a test that flags nothing is no use
        assert found.mean() >= promised - error


def test_without_the_one_more_the_promise_would_be_broken():
    """The counts matter: #{calibration >= score} / n flags more than alpha."""
    rng, n, alpha = np.random.default_rng(0), 19, 0.06
    found = []
    for _ in range(RUNS):
        scores = rng.normal(size=n + NEW)
        naive = (scores[:n] >= scores[n:, None]).sum(1) / n
        found.append(np.mean(naive <= alpha))
    assert np.mean(found) > alpha + 3 * np.std(found) / math.sqrt(RUNS)


def test_digits_held_out_are_flagged_no_more_than_the_level():
    """50 divisions of the digits: fit a density, calibrate, and flag digits that are new to both.

    Given the digits the divisions are independent.
    """
    images = load_digits().data / 16
    rng, alpha, found = np.random.default_rng(0), 0.05, []
    for _ in range(50):
        fit, calibration, new = np.split(images[rng.permutation(len(images))], [500, 1099])
        density = GaussianMixture(1, covariance_type="diag", reg_covar=1e-3)
        score = density.fit(fit).score_samples
        p = p_values(-score(calibration), -score(new))
        found.append(np.mean(p <= most_flagged(alpha, len(calibration))))
    error = np.std(found) / math.sqrt(50)
    assert alpha - 3 * error <= np.mean(found) <= alpha + 3 * error
