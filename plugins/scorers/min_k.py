"""Mean log-probability of the least probable tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from plugins.scorers._base import Array, NothingToFit, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class MinK(NothingToFit):
    r"""Minus the mean log-probability of the least probable tokens of each window.

    s(X) = -1/b Σ_{x in X} 1/K Σ_{t in min-K(x)} log p(x_t | x_1, ..., x_{t-1})

    where min-K(x) are the K tokens of x with the lowest log-probability, and K = ⌈share T⌉ of T
    tokens. The authors call the score Min-K% Prob and use it to tell whether a text was part of
    the training data: a text that was not has a few tokens that surprise the model. A share of 1
    is `log-likelihood` per token. Nothing is fitted. Models without `log_prob_tokens` are `n/a`.

    Departure from the paper: K is rounded up, so that there is at least one token.

    Arguments:
        share: Share of the tokens, k % in the paper, which recommends 20 %.

    References:
        | Detecting Pretraining Data from Large Language Models (Shi et al., 2023)
        | https://arxiv.org/abs/2310.16789
    """

    name = "min-k"
    inputs = ("log_prob_tokens",)

    share: Annotated[float, Field(gt=0, le=1)] = 0.2

    def score(self, statistics: Statistics) -> Array:
        """Return the score of each group.

        Arguments:
            statistics: `log_prob_tokens`: float64, (M, b, T), in nats.

        Returns:
            float64, (M,), in nats per token; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        fitted(self.fitted_, self.name)
        values = statistics["log_prob_tokens"]
        tokens = values.shape[2]
        count = min(tokens, math.ceil(round(self.share * tokens, 9)))  # 0.1 * 30 is above 3
        lowest = np.partition(values, count - 1, axis=2)[:, :, :count]
        scores: Array = -lowest.mean(axis=(1, 2))
        return scores
