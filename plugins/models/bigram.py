"""The bigram plugin, without importing torch."""

from __future__ import annotations

from oodbench import DensityModel, Tokens


def bigram(domain: Tokens) -> DensityModel:
    """Markov chain of text: every token depends on the token before, by counts plus one.

    P(x) = p(x_1) Π_t p(x_t | x_{t-1}),  p(b | a) = (n_ab + 1) / (n_a + V)

    where n_ab counts the token a followed by b, n_a = Σ_b n_ab, and V is the size of the
    vocabulary; p(x_1) counts the first tokens of the windows in the same way. The counts are taken
    before epoch 0, from `prepare_batches` minibatches of the train split, so the model at epoch 0
    is fitted already: set `prepare_batches` high enough to count every window, and `epochs = [0]`.
    Training changes the logarithms of the counts like the weights of any other model. The
    likelihood is exact.

    Arguments:
        domain: The text to model, with a vocabulary of at most 4,096.

    Returns:
        A model that is uniform until `prepare` counts.
    """
    from plugins.models.text.bigram import Bigram

    return Bigram(domain)
