"""How much more probable a group is under a background model than under the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from plugins.scorers._base import Array, NothingToFit, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class LikelihoodRatio(NothingToFit):
    """Minus the log-likelihood ratio to a background model.

    s(X) = -1/b Σ_{x in X} [ log p(x) - log p_background(x) ]

    The background model is one of the suite that knows what all such images have in common, but
    not what makes these. Of Ren et al. it is trained on the same data perturbed (`mutation_rate`
    of its training recipe); of Schirrmeister et al. it is a general model, trained on a large
    collection of other images (`dataset` of its table). It is read at the epoch and seed of the
    cell. Nothing is fitted.

    Departures from Schirrmeister et al.: in their code the training of the specific model starts
    from the weights of the general one, and may have a loss on general images added; here each
    is trained by itself, on its own data set alone.

    Arguments:
        background: Name of the background model in the suite.

    References:
        | Likelihood Ratios for Out-of-Distribution Detection (Ren et al., 2019)
        | https://arxiv.org/abs/1906.02845
        | Understanding Anomaly Detection with Deep Invertible Networks through Hierarchies of
          Distributions and Features (Schirrmeister et al., 2020)
        | https://arxiv.org/abs/2006.10848
    """

    name = "likelihood-ratio"

    background: Annotated[str, Field(min_length=1)]

    @property
    def inputs(self) -> tuple[str, ...]:
        """`log_prob` of the model and of the background model."""
        return ("log_prob", f"log_prob@{self.background}")

    def score(self, statistics: Statistics) -> Array:
        """Minus the mean log-likelihood ratio of each group.

        Arguments:
            statistics: Both `log_prob`: float64, (M, b, 1), in nats.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        fitted(self.fitted_, self.name)
        own, background = (statistics[name][:, :, 0] for name in self.inputs)
        scores: Array = -(own - background).mean(axis=1)
        return scores
