"""Scorers of several log-probabilities, by hand and against loops over their equations."""

from __future__ import annotations

import numpy as np
import pytest

from harness import NotFittedError
from plugins.scorers.likelihood_ratio import LikelihoodRatio


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
