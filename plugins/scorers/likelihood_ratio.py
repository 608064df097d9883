"""Log-likelihood ratio between a background model and the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from plugins.scorers._base import Array, NothingToFit, Statistics, fitted


@dataclass(kw_only=True, eq=False)
class LikelihoodRatio(NothingToFit):
    """Minus the log-likelihood ratio to a background model.

    s(X) = -1/b Σ_{x in X} [ log p(x) - log p_background(x) ]

    The background model is another model in the suite; the model should learn common features of
    similar images, but not the features specific to the ID data. In Ren et al. the background
    model is trained on perturbed ID data (set `mutation_rate` in the training recipe); in
    Schirrmeister et al., a general model is trained on a large collection of other images (set
    `dataset` in the model's table). For text, the general model is the language model before it
    was fine-tuned (Zhang et al.), with saved epochs. The background is read at the same epoch and
    seed as the cell. Nothing is fitted.

    Departures from Schirrmeister et al.: the authors' code initialises the specific model with
    the weights of the general model, and can add a loss on general images; here both models are
    trained independently, each on a single data set.

    Arguments:
        background: Name of the background model in the suite.

    References:
        | Likelihood Ratios for Out-of-Distribution Detection (Ren et al., 2019)
        | https://arxiv.org/abs/1906.02845
        | Understanding Anomaly Detection with Deep Invertible Networks through Hierarchies of
          Distributions and Features (Schirrmeister et al., 2020)
        | https://arxiv.org/abs/2006.10848
        | Your Finetuned Large Language Model is Already a Powerful Out-of-distribution Detector
          (Zhang et al., 2024)
        | https://arxiv.org/abs/2404.08679
    """

    name = "likelihood-ratio"

    background: Annotated[str, Field(min_length=1)]

    @property
    def inputs(self) -> tuple[str, ...]:
        """`log_prob` for the model and for the background model."""
        return ("log_prob", f"log_prob@{self.background}")

    def score(self, statistics: Statistics) -> Array:
        """Return minus the mean log-likelihood ratio for each group.

        Arguments:
            statistics: `log_prob` for both models, float64, (M, b, 1) each, in nats.

        Returns:
            float64, (M,), in nats; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        fitted(self.fitted_, self.name)
        own, background = (statistics[name][:, :, 0] for name in self.inputs)
        scores: Array = -(own - background).mean(axis=1)
        return scores
