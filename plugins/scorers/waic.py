"""Mean log-probability under an ensemble, minus the variance."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from oodbench import ScoreError
from plugins.scorers._base import Array, NothingToFit, Statistics, fitted


class WAIC(NothingToFit):
    r"""Minus the Watanabe-Akaike information criterion for an ensemble of models.

    s(X) = -1/b Σ_{x in X} [ mean_m l_m(x) - var_m l_m(x) ],  l_m(x) = log p_m(x)

    over the members m, which are either trainings of the cell's model from several seeds, at the
    cell's epoch, or several epochs from the cell's training. In the second case the score is the
    same at every epoch in a table. The variance divides by the number of members, since both
    moments are taken over the ensemble only; the authors do not specify the divisor. The variance
    is in nats² and the mean in nats, as in the paper. Nothing is fitted.

    Arguments:
        seeds: Seeds of the members; missing members are trained. Give either `seeds` or `epochs`.
        epochs: Epochs of the members. Give either `epochs` or `seeds`.

    Raises:
        ScoreError: Both or neither of `seeds` and `epochs` are given, or fewer than two members,
            or duplicates.

    References:
        | WAIC, but Why? Generative Ensembles for Robust Anomaly Detection (Choi et al., 2018)
        | https://arxiv.org/abs/1810.01392
    """

    name = "waic"
    needs_normalized = True  # members that lack constants would differ by these

    def __init__(
        self,
        *,
        seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = (),
        epochs: tuple[Annotated[int, Field(ge=0)], ...] = (),
    ) -> None:
        if bool(seeds) == bool(epochs):
            raise ScoreError(
                f"{self.name}: give either seeds or epochs, for example seeds = [0, 1, 2]"
            )
        members = seeds or epochs
        if len(members) < 2 or len(set(members)) < len(members):
            raise ScoreError(
                f"{self.name}: {'seeds' if seeds else 'epochs'} should be two or more, each once, "
                f"not {list(members)}"
            )
        self.inputs = tuple(f"log_prob{'/' if seeds else ':'}{member}" for member in members)

    def score(self, statistics: Statistics) -> Array:
        """Return minus the mean WAIC for each group.

        Arguments:
            statistics: `log_prob` for each member, float64, (M, b, 1), in nats.

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        fitted(self.fitted_, self.name)
        members = np.stack([statistics[name][:, :, 0] for name in self.inputs])  # (m, M, b)
        waic = members.mean(axis=0) - members.var(axis=0)
        scores: Array = -waic.mean(axis=1)
        return scores
