"""Log-probability of the upper levels in a model, alone and relative to all levels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field

from oodbench import UnsupportedError
from plugins.scorers._base import Array, Mask, NamedColumns, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class HierarchicalRatio(NamedColumns):
    r"""Log-probability under a model with levels, relative to the upper levels.

    s(X) = 1/b Σ_{x in X} (l - c l_k)                                            form = "ratio"
    s(X) = -1/b Σ_{x in X} l_k                                                   form = "upper"

    l is the log-probability, the sum of all terms, and l_k the sum of the terms of level k and
    above. Level 0 is next to the image, and k is `from_level`. With `ratio`, images are OOD if the
    upper levels, which see the whole image, assign a low probability relative to the probability
    of the whole image; with `upper`, if the upper levels assign a low probability.

    In a flow, by the chain rule, l_k is the log-density of h_k, the activations entering level k,
    and l - l_k is the log-density of the details split off by the levels below k, given h_k.
    Details dominate l. Each split takes half of the dimensions, so h_k has D / 2^k dimensions:
    c = 2^k compares the two densities per dimension, times D. (Without the factor the upper levels
    would cancel, and l - l_k would call any image with simple details OOD, and noise least.)

    In a hierarchical VAE l is the bound L, and l_k is L>k, the bound with the k lowest latents
    drawn from the prior given the upper latents. Both bounds cover all dimensions, so c = 1:
    `ratio` is LLR>k = L - L>k of Havtorn et al. LLR>k is high if the latents that explain
    the image are low ones, which the upper ones do not tell.

    Term names are expected in the form `kind` or `kind.level`, for example `base.1`: a number
    after the last dot is the level. A model with terms `reconstruction.level` is a VAE.

    Departures from the papers: Schirrmeister et al. score with the last level alone, which is
    `upper` with the last level for k. Havtorn et al. take importance-weighted bounds with many
    draws; here both bounds are means over the draws of the model.

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
    factor_: float = field(default=math.nan, init=False)

    def fit(self, statistics: Statistics) -> Self:
        """Find the terms of the upper levels and c; no parameters are estimated.

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
        is_bound = any(name.startswith("reconstruction.") for name in names)
        self.upper_, self.factor_ = upper, 1.0 if is_bound else 2.0**self.from_level
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
        scores: Array = means.sum(axis=1) - self.factor_ * upper
        return scores


def _level(name: str) -> int | None:
    """Read the level from a term's name: 1 for `base.1`, None for a name without a level."""
    number = name.rpartition(".")[2]
    return int(number) if number.isdecimal() else None
