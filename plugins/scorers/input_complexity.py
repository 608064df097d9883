"""The log-likelihood ratio of a lossless compressor and the model."""

from __future__ import annotations

import math

from plugins.scorers._base import Array, NothingToFit, Statistics, fitted


class InputComplexity(NothingToFit):
    r"""How many more bits the model needs than a lossless compressor.

    s(X) = 1/b Σ_{x in X} [ -log2 p(x) - L(x) ]

    both in bits of the whole example, L the size of its PNG (`png_bits`). A simple image is short
    in both, so its high likelihood does not make it ID. The authors try several compressors; here
    it is PNG. Its header, the same for all examples of a domain, shifts all scores alike. Nothing
    is fitted.

    References:
        | Input Complexity and Out-of-distribution Detection with Likelihood-based Generative
          Models (Serrà et al., 2020)
        | https://arxiv.org/abs/1909.11480
    """

    name = "input-complexity"
    inputs = ("log_prob", "png_bits")

    def score(self, statistics: Statistics) -> Array:
        """Mean difference of each group.

        Arguments:
            statistics: `log_prob`, in nats, and `png_bits`, in bits: float64, (M, b, 1).

        Returns:
            float64, (M,), in bits; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        fitted(self.fitted_, self.name)
        bits = -statistics["log_prob"][:, :, 0] / math.log(2)
        scores: Array = (bits - statistics["png_bits"][:, :, 0]).mean(axis=1)
        return scores
