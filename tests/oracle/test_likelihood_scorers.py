"""Scorers of several log-probabilities, by hand and against loops over their equations."""

from __future__ import annotations

import numpy as np
import pytest

from oodbench import NeedsNormalized, NotFittedError, ScoreError
from plugins.scorers.input_complexity import InputComplexity
from plugins.scorers.likelihood_ratio import LikelihoodRatio
from plugins.scorers.log_likelihood import LogLikelihood
from plugins.scorers.typicality import Typicality
from plugins.scorers.typicality_test import TypicalityTest
from plugins.scorers.waic import WAIC


def column(*groups):
    """A statistic per example of one column, (M, b, 1)."""
    return np.array(groups, dtype=np.float64)[:, :, None]


def auroc(inside, outside):
    """By counting pairs."""
    wins = (outside[:, None] > inside).mean() + 0.5 * (outside[:, None] == inside).mean()
    return float(wins)


class TestLikelihoodRatio:
    def test_by_hand(self):
        scorer = LikelihoodRatio(background="noisy")
        assert scorer.inputs == ("log_prob", "log_prob@noisy")
        given = {
            "log_prob": column([-10.0, -20.0], [-30.0, -10.0]),
            "log_prob@noisy": column([-11.0, -25.0], [-20.0, -16.0]),
        }
        scores = scorer.fit({}).score(given)
        assert scores.dtype == np.float64
        # Ratios of 1 and 5 nats in favour of the model, then of -10 and 6.
        assert scores.tolist() == [-3.0, 2.0]

    @pytest.mark.parametrize("size", [1, 5])
    def test_what_both_models_find_probable_is_ood(self, size):
        # Background statistics alone make OOD more probable under both, by more than the noise.
        rng = np.random.default_rng(0)
        inside, outside = (
            {"log_prob": common + own, "log_prob@noisy": common}
            for common, own in (
                (rng.normal(-1000, 50, (60, size, 1)), rng.normal(40, 15, (60, size, 1))),
                (rng.normal(-700, 50, (60, size, 1)), rng.normal(0, 15, (60, size, 1))),
            )
        )
        scorer = LikelihoodRatio(background="noisy").fit(inside)
        assert auroc(scorer.score(inside), scorer.score(outside)) > 0.9

    def test_unfitted(self):
        with pytest.raises(NotFittedError, match="^likelihood-ratio was asked for scores before"):
            LikelihoodRatio(background="noisy").score({})


def test_constants_of_each_model_reorder_only_scores_that_need_normalized_models():
    rng = np.random.default_rng(0)
    scorers = [LogLikelihood(), Typicality(), InputComplexity(), WAIC(seeds=(0, 1))]
    scorers += [LikelihoodRatio(background="noisy"), TypicalityTest()]
    names = {name for scorer in scorers for name in scorer.inputs}
    fit, inside, outside = (
        {name: rng.normal(mean, 3, (60, 1, 1)) for name in names} for mean in (-9, -9, -8)
    )

    def moved(statistics):
        constants = {"log_prob": 50.0, "log_prob/1": -70.0, "log_prob@noisy": 90.0}
        return {name: values + constants.get(name, 0) for name, values in statistics.items()}

    for scorer in scorers:
        scorer.fit(fit)
        before = auroc(scorer.score(inside), scorer.score(outside))
        scorer.fit(moved(fit))
        after = auroc(scorer.score(moved(inside)), scorer.score(moved(outside)))
        is_equal = after == pytest.approx(before, abs=1e-9)
        assert is_equal != isinstance(scorer, NeedsNormalized), type(scorer)


class TestWAIC:
    def test_by_hand(self):
        scorer = WAIC(seeds=(0, 2, 5)).fit({})
        assert scorer.inputs == ("log_prob/0", "log_prob/2", "log_prob/5")
        given = {
            "log_prob/0": column([-1.0, -10.0]),
            "log_prob/2": column([-2.0, -10.0]),
            "log_prob/5": column([-6.0, -10.0]),
        }
        # Means -3 and -10; squared deviations 4 + 1 + 9 over three members, and none.
        assert scorer.score(given) == pytest.approx([((3 + 14 / 3) + (10 + 0)) / 2], rel=1e-14)

    def test_over_epochs_of_one_training(self):
        scorer = WAIC(epochs=(4, 16)).fit({})
        assert scorer.inputs == ("log_prob:4", "log_prob:16")
        given = {"log_prob:4": column([-5.0]), "log_prob:16": column([-1.0])}
        assert scorer.score(given).tolist() == [3.0 + 4.0]

    @pytest.mark.parametrize("size", [1, 5])
    def test_where_the_members_disagree_is_ood_even_if_more_probable(self, size):
        rng = np.random.default_rng(0)

        def groups(mean, spread):
            return {
                name: rng.normal(mean, spread, (80, size, 1)) for name in WAIC(seeds=(0, 1)).inputs
            }

        inside, outside = groups(-1000.0, 5.0), groups(-900.0, 60.0)
        scorer = WAIC(seeds=(0, 1)).fit(inside)
        likelier = auroc(-inside["log_prob/0"].mean((1, 2)), -outside["log_prob/0"].mean((1, 2)))
        assert likelier < 0.2
        assert auroc(scorer.score(inside), scorer.score(outside)) > (0.75 if size == 1 else 0.95)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "waic: give either seeds or epochs, for example seeds = [0, 1, 2]"),
            (
                {"seeds": (0, 1), "epochs": (1, 2)},
                "waic: give either seeds or epochs, for example seeds = [0, 1, 2]",
            ),
            ({"seeds": (3,)}, "waic: seeds should be two or more, each once, not [3]"),
            ({"epochs": (1, 1)}, "waic: epochs should be two or more, each once, not [1, 1]"),
        ],
    )
    def test_options_that_make_no_ensemble(self, options, message):
        with pytest.raises(ScoreError) as error:
            WAIC(**options)
        assert str(error.value) == message

    def test_unfitted(self):
        with pytest.raises(NotFittedError, match="^waic was asked for scores before"):
            WAIC(seeds=(0, 1)).score({})
