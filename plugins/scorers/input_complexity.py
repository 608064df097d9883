"""Log-likelihood ratio between a lossless compressor and the model."""

from __future__ import annotations

import math

from plugins.scorers._base import Array, NothingToFit, Statistics, fitted


class InputComplexity(NothingToFit):
    r"""Difference in bits between the model and a lossless compressor.

    s(X) = 1/b Σ_{x in X} [ -log2 p(x) - L(x) ]

    where both terms are in bits per example, and L is the size under a lossless compressor
    (`compressed_bits`): of an image as a PNG file, of a window of text under zlib. A simple image
    needs few bits in both codes, so a high likelihood alone does not make the image ID. The
    authors compare several compressors of images. The header has the same size for all examples
    in a domain and shifts all scores equally. Nothing is fitted.

    References:
        | Input Complexity and Out-of-distribution Detection with Likelihood-based Generative
          Models (Serrà et al., 2020)
        | https://arxiv.org/abs/1909.11480
    """

    name = "input-complexity"
    inputs = ("log_prob", "compressed_bits")

    def score(self, statistics: Statistics) -> Array:
        """Return the mean difference for each group.

        Arguments:
            statistics: `log_prob`, in nats, and `compressed_bits`, in bits, float64, (M, b, 1).

        Returns:
            float64, (M,), in bits; higher is more OOD.

        Raises:
            NotFittedError: `fit` was not called.
        """
        fitted(self.fitted_, self.name)
        bits = -statistics["log_prob"][:, :, 0] / math.log(2)
        scores: Array = (bits - statistics["compressed_bits"][:, :, 0]).mean(axis=1)
        return scores
