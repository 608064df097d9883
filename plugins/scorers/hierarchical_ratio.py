"""Log-probability of the upper levels in a flow, alone and relative to all levels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field

from oodbench import UnsupportedError
from plugins.scorers._base import Array, Mask, NamedColumns, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class HierarchicalRatio(NamedColumns):
    r"""Log-probability under a multi-level flow, relative to the upper levels.

    l = Σ_j (base_j + ladj_j) + bins,   l_k = Σ_{j >= k} (base_j + ladj_j)
    s(X) = 1/b Σ_{x in X} (l - 2^k l_k)                                          form = "ratio"
    s(X) = -1/b Σ_{x in X} l_k                                                   form = "upper"

    Level 0 is next to the image, and k is `from_level`. By the chain rule, l_k is the log-density
    of h_k, the activations entering level k, and l - l_k is the log-density of the details split
    off by the levels below k, given h_k. Details dominate l. With `ratio`, images are OOD if the
    upper levels, which see the whole image, assign a low probability relative to the probability
    of the whole image; with `upper`, if the upper levels assign a low probability.

    Each split takes half of the dimensions, so h_k has D / 2^k dimensions: `ratio` compares the
    two densities per dimension, times D. (Without the factor the upper levels would cancel, and
    l - l_k would call any image with simple details OOD, and noise least.)

    Term names are expected in the form `kind` or `kind.level`, for example `base.1`: a number
    after the last dot is the level.

    Departures from the papers: Schirrmeister et al. score with the last level alone, which is
    `upper` with the last level for k. For a hierarchical VAE with bound L, Havtorn et al. subtract
    the bound L^{>k}, where lower latents are drawn given the upper latents, and both bounds cover
    all dimensions. This scorer uses the exact density of the upper levels instead, scaled to all
    dimensions.

    For the other ratio by Schirrmeister et al., a general against a specific model, use the scorer
    `likelihood-ratio` with the general model (a model with a separate `dataset`) as background.

    Arguments:
        from_level: k, the lowest of the upper levels.
        form: `ratio` or `upper`, as defined above.

    References:
        | Understanding Anomaly Detection with Deep Invertible Networks through Hierarchies of
          Distributions and Features (Schirrmeister et al., 2020)
        | https://arxiv.org/abs/2006.10848
        | Hierarchical VAEs Know What They Don't Know (Havtorn et al., 2021)
        | https://arxiv.org/abs/2102.08248
    """

    name = "hierarchical-ratio"
    statistic = "log_prob_terms"

    from_level: Annotated[int, Field(ge=1)] = 1
    form: Literal["ratio", "upper"] = "ratio"

    upper_: Mask | None = field(default=None, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Find the terms of the upper levels; no parameters are estimated.

        Arguments:
            statistics: `log_prob_terms`: float64, (M, b, F), in nats; not read.

        Raises:
            UnsupportedError: The model does not have a level `from_level`.
        """
        names = self.names or ()
        levels = [_level(name) for name in names]
        upper = np.array([level is not None and level >= self.from_level for level in levels])
        if not upper.any():
            raise UnsupportedError(
                f"{self.name}: no term belongs to level {self.from_level} or above; the terms are "
                f"{', '.join(names)}"
            )
        self.upper_ = upper
        return self

    def score(self, statistics: Statistics) -> Array:
        """Return the ratio, or minus the upper log-density, for each group.

        Arguments:
            statistics: `log_prob_terms`: float64, (M, b, F), in nats.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        levels = fitted(self.upper_, self.name)
        means = statistics[self.statistic].mean(axis=1)
        upper: Array = means[:, levels].sum(axis=1)
        if self.form == "upper":
            return -upper
        scores: Array = means.sum(axis=1) - 2.0**self.from_level * upper
        return scores


def _level(name: str) -> int | None:
    """Read the level from a term's name: 1 for `base.1`, None for a name without a level."""
    number = name.rpartition(".")[2]
    return int(number) if number.isdecimal() else None
