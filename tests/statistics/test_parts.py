"""The variance of each part of an error: covariances spelled out, pair by pair."""

from __future__ import annotations

import math
from dataclasses import astuple, replace

import numpy as np
import pytest

from harness.metrics.evidence import (
    BLOCKS,
    evidence_of,
    evidence_of_scores,
    of_separate_trainings,
    variances,
)
from harness.metrics.placements import variance_by_image
from harness.scoring.fits import Refits
from plugins.scorers.typicality import Typicality
from tests.statistics import literal
from tests.statistics.made import literally, row, scores

SIZES = [(12, 17), (31, 20)]


def same(found, expected):
    values = [float(np.ravel(part)[0]) for part in found]
    assert values == pytest.approx(astuple(expected), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("blocks", [0, 5, 10])
@pytest.mark.parametrize("step", [0.0, 0.5])
def test_variances_are_the_literal_ones(sizes, seeds, blocks, step):
    rng = np.random.default_rng(1)
    trainings = scores(rng, rng.normal(1.0, 0.3, seeds), sizes, blocks=blocks, step=step)
    found = variances(evidence_of([row(trainings)]))
    same(found, literal.variances(literally(trainings)))
    assert (found.all_fit[0] > 0) == (blocks > 0)


@pytest.mark.parametrize("seeds", [1, 2, 4])
@pytest.mark.parametrize("blocks", [(0, 0), (10, 10), (10, 0)])
def test_variances_of_a_difference_are_the_literal_ones(seeds, blocks):
    rng = np.random.default_rng(2)
    shifts = np.repeat([0.7, 1.4], seeds) + rng.normal(0, 0.2, 2 * seeds)
    both = scores(rng, shifts, (23, 14), blocks=10)
    a, b = both[:seeds], both[seeds:]
    a, b = ([(*of[:2], of[2][:g]) for of in side] for side, g in zip((a, b), blocks, strict=True))
    found = variances(evidence_of([row(a)]) - evidence_of([row(b)]))
    same(found, literal.variances(literal.minus(literally(a), literally(b))))


@pytest.mark.parametrize("counts", [(1, 1), (1, 3), (2, 2), (2, 3), (5, 2), (8, 8)])
@pytest.mark.parametrize("blocks", [0, 10])
@pytest.mark.parametrize("correlation", [0.2, 0.95])
def test_variances_of_separate_trainings_are_the_literal_ones(counts, blocks, correlation):
    rng = np.random.default_rng(3)
    shifts = rng.normal(1.0, 0.4, sum(counts))
    both = scores(rng, shifts, (21, 16), blocks=blocks, correlation=correlation)
    a, b = both[: counts[0]], both[counts[0] :]
    found = of_separate_trainings(evidence_of([row(a)]), evidence_of([row(b)]))
    expected = literal.separate_variances(literally(a), literally(b))
    same(found._replace(df=np.floor(found.df)), expected)


def test_the_shared_part_is_never_negative():
    rng = np.random.default_rng(4)
    ins, outs = rng.normal(size=15), rng.normal(0.5, 1.0, 15)
    other = rng.normal(size=(2, 15))
    trainings = [(ins, outs, []), (-ins, -outs, []), (*other, [])]
    found = variances(evidence_of([row(trainings)]))
    same(found, literal.variances(literally(trainings)))
    assert found.examples[0] == 0.0
    assert found.all_examples[0] > 0


@pytest.mark.parametrize("sizes", [(12, 12), (9, 14), (14, 9)])
def test_the_variance_by_image_is_the_literal_one(sizes):
    rng = np.random.default_rng(5)
    trainings = scores(rng, [0.8, 1.1], sizes)
    evidence = replace(evidence_of([row(trainings)]), is_by_image=True)
    same(
        variances(evidence),
        literal.variances(literally(trainings), literal.of_images),
    )
    p, q = literally(trainings)
    wins = evidence.wins_out[0], evidence.wins_in[0]
    expected = [literal.of_images(p, p), literal.of_images(q, q)]
    assert variance_by_image(*wins) == pytest.approx(expected, rel=1e-9)


def test_an_image_and_its_equal_copy_have_no_error_by_image():
    ins = np.random.default_rng(6).normal(size=20)
    evidence = replace(evidence_of_scores(ins, ins.copy()), is_by_image=True)
    assert variances(evidence).examples[0] == pytest.approx(0.0, abs=1e-30)
    assert variances(replace(evidence, is_by_image=False)).examples[0] > 1e-3


@pytest.mark.parametrize("groups", [5, 9, 10, 37])
def test_refits_leave_out_each_block_once(groups):
    rng = np.random.default_rng(7)
    of_fit, ins, outs = (rng.normal(size=(count, 1, 1)) for count in (groups, 12, 11))
    refits = Refits(Typicality, {"log_prob": of_fit}, {"log_prob": ins})
    found = refits.aurocs({"log_prob": outs})
    blocks = min(BLOCKS, groups)
    assert len(found) == blocks == min(10, groups)
    for block, area in enumerate(found):
        kept = [x[0, 0] for place, x in enumerate(of_fit) if place % blocks != block]
        entropy = -sum(kept) / len(kept)
        sides = ([abs(-x[0, 0] - entropy) for x in side] for side in (ins, outs))
        assert area == pytest.approx(literal.parts_of(*sides).auroc, rel=1e-12)


def test_the_jackknife_of_a_mean_is_its_squared_standard_error():
    """For a statistic that is a mean, leaving out blocks gives s² / n of the block means."""
    values = np.random.default_rng(8).normal(size=10)
    refits = [(values.sum() - value) / 9 for value in values]
    evidence = evidence_of_scores(np.arange(5.0), np.arange(5.0), np.array(refits))
    assert variances(evidence).fit[0] == pytest.approx(values.var(ddof=1) / 10, rel=1e-12)
    assert math.isinf(variances(evidence).df[0])
