"""Sentences and ranks for random patterns of missing cells, against a literal computation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from harness.report.ranking import ranking_table
from harness.report.summary import summary
from harness.results import Cell
from harness.scoring.baselines import flag_beaten
from tests.made_results import made_result, scored_result
from tests.unit.report.literal import (
    auroc,
    counted_sentence,
    next_sentence,
    numbers_by,
    ranked,
    winner_sentences,
    wrong_way_sentences,
)

SCORERS = ("loud", "flat", "deep", "dark", "size")
BASELINES = ("dark", "size")
MODELS = {"flow": "exact", "net": "exact", "vae": "lower_bound"}
OUTS = ("svhn", "noise", "black", "flipped")
GROUPS = 16
"""Groups a side, a power of two: AUROCs and their sums are exact."""


def pattern(seed):
    """Results of which some are absent, failed, without data or impossible; others are scored.

    A scorer, a model or an OOD set may lack much, or nothing may lack. In every third pattern
    nothing failed, in every fifth no shift is the wrong way round, in every second there are
    trivial baselines.
    """
    rng = np.random.default_rng(seed)
    statuses = ["absent", "unsupported"] + ["failed", "missing_data"] * bool(seed % 3)
    lack = {name: rng.choice([0, 0, 0, 0.1, 0.6]) for name in (*SCORERS, *MODELS, *OUTS)}
    found = []
    for scorer, model, out in product(SCORERS, MODELS, OUTS):
        cell = Cell(model, "digits", out, scorer, 4, 1, 0)
        provenance = {"likelihood": MODELS[model]}
        if rng.random() < max(lack[scorer], lack[model], lack[out]):
            status = rng.choice(statuses)
            if status != "absent":
                found.append(made_result(cell, str(status), f"{out} broke", provenance=provenance))
            continue
        shift = rng.choice([-9, -2, 0, 1, 2, 3, 9] if seed % 5 else [0, 1, 2, 3, 9])
        scores = rng.integers(0, 12, (2, GROUPS)) + np.array([[0.0], [shift]])
        values = {"bits_per_dim_in": float(len(model)), "provenance": provenance}
        found.append(scored_result(cell, *scores, **values))
    baselines = BASELINES if seed % 2 else ()
    return flag_beaten(found, baselines), baselines


@pytest.mark.parametrize("seed", range(50))
def test_sentences_are_those_of_a_literal_computation(seed):
    results, baselines = pattern(seed)
    leader, won = winner_sentences(results, baselines)
    expected = [counted_sentence(results), *won, *wrong_way_sentences(results, leader)]
    assert summary(results, baselines) == [*expected, *next_sentence(results)]


@pytest.mark.parametrize("axis", ["scorer", "model"])
@pytest.mark.parametrize("seed", range(50))
def test_ranks_are_those_of_a_literal_computation(seed, axis):
    results, _ = pattern(seed)
    table = numbers_by(results, axis, auroc)
    mean_ranks, means, common = ranked(table)
    found = ranking_table(results, axis)
    names = {getattr(result.cell, axis) for result in results}
    assert found.blocks == len(table)
    assert found.numbers == {name: sum(name in x for x in table.values()) for name in names}
    assert set(found.apart) == names - set(mean_ranks)
    assert (found.ranked is None) == (not mean_ranks)
    if found.ranked is not None:
        assert found.ranked.mean_ranks == pytest.approx(mean_ranks)
        assert list(found.ranked.mean_ranks.values()) == sorted(found.ranked.mean_ranks.values())
        assert found.ranked.means == pytest.approx(means)
        assert found.ranked.blocks == len(common)
        assert found.ranked.pairs == len({out for out, _ in common})


def test_the_patterns_lead_to_every_kind_of_sentence():
    texts = " ".join(text for seed in range(50) for text in summary(*pattern(seed)))
    for words in (
        *("has the highest mean", "No scorer is shown to have", "Not compared, for want"),
        *("(a trivial baseline)", "those with a number for all", "for both compared"),
        *("cell by cell, it is significantly better", "no difference is significant"),
        *("itself is the wrong way round", "No scorer is shown to be the wrong way round"),
        *("without a number", "the trivial baseline", "there is above chance"),
    ):
        assert words in texts
