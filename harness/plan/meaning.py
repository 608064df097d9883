"""Units and scores that have a meaning for a kind of likelihood."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contracts import Likelihood, NeedsNormalized, Scorer
from harness.errors import UnsupportedError

HAS_BITS = ("exact", "lower_bound", "estimate")
"""Kinds of likelihood with bits per dimension: all that are near the log-probability."""


def loss_unit(likelihood: Likelihood, unit: str) -> str:
    """Return the unit of a training loss in messages: `loss` where it need not be in bits.

    A model with an exact log-probability or a bound is trained on this number. Other models have
    another loss, such as a difference of energies or the error of a velocity.

    Arguments:
        likelihood: Kind of the trained model.
        unit: Unit of bits per dimension in the model's domain.

    Example:
        >>> from harness.plan.meaning import loss_unit
        >>> loss_unit("exact", "bits/dim"), loss_unit("unnormalized", "bits/dim")
        ('bits/dim', 'loss')
    """
    return unit if likelihood in ("exact", "lower_bound") else "loss"


def log_prob_unit(likelihood: Likelihood, unit: str) -> str:
    """Return the unit of minus the mean log-probability: no bits where it lacks a constant.

    Arguments:
        likelihood: Kind of the model.
        unit: Unit of bits per dimension in the model's domain.

    Example:
        >>> from harness.plan.meaning import log_prob_unit
        >>> log_prob_unit("estimate", "bits/dim"), log_prob_unit("unnormalized", "bits/dim")
        ('bits/dim', 'bits/dim + constant')
    """
    return unit if likelihood in HAS_BITS else f"{unit} + constant"


def require_meaning(name: str, scorer: Scorer, likelihoods: Iterable[str]) -> None:
    """Refuse a scorer that needs normalized log-probabilities if a model has none.

    Arguments:
        name: Name of the scorer in the message.
        scorer: The scorer.
        likelihoods: Kinds of likelihood of the models that the scorer reads.

    Raises:
        UnsupportedError: The score has no meaning for one of the kinds.

    Example:
        >>> from harness.plan.meaning import require_meaning
        >>> class Mean:
        ...     inputs = ("log_prob",)
        >>> require_meaning("mean", Mean(), ["exact", "unnormalized"])
    """
    needs = isinstance(scorer, NeedsNormalized) and scorer.needs_normalized
    if needs and not set(likelihoods) <= set(HAS_BITS):
        raise UnsupportedError(
            f"{name} has no meaning for an unnormalized log-probability, which lacks another "
            "constant for each set of weights; a model that is normalized declares its likelihood"
        )
