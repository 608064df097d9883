"""Score statistics g^T F^-1 g by layer, with a fitted Fisher information F."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from oodbench import ScoreError, UnsupportedError
from plugins.statistics.fisher.gradients import FittedMeasure, Gradients, require_finite
from plugins.statistics.fisher.kronecker import (
    Basis,
    Factors,
    KroneckerFactors,
    RotatedMoments,
    rotated,
)
from plugins.statistics.fisher.moments import Damping, SecondMoments, weighted_sq_norms, weights
from plugins.statistics.layer_gradients.graph import Untraceable
from plugins.statistics.layer_gradients.norms import GroupGradient
from plugins.statistics.layer_gradients.reference import looped_layer_gradients
from plugins.statistics.layer_gradients.registry import Misaligned


class ScoreStatistic:
    """Score statistic g^T F^-1 g for each layer, with F diagonal in a basis chosen per layer.

    Arguments:
        gradients: Gradient computation used for the fit.
        weight: 1 / F by column, in the gradients' shape.
        bases: Bases by column; columns without a basis stay unrotated.
    """

    def __init__(
        self, gradients: Gradients, weight: dict[int, Tensor], bases: Mapping[int, Basis]
    ) -> None:
        self._gradients, self._weight, self._bases = gradients, weight, bases

    def __call__(self, model: Any, groups: Tensor) -> Tensor:
        """Evaluate groups, uint8, (M, b, *shape), without the 1/b; float64, (M, L), >= 0.

        Raises:
            UnsupportedError: The model runs different modules or operations from the fit.
        """
        return self._gradients.each(model, groups, self._measure)

    def _measure(self, column: int, gradient: GroupGradient) -> Tensor:
        weight = self._weight.get(column)
        if weight is None:  # no fit example reached the layer
            rows = gradient if isinstance(gradient, Tensor) else gradient.a
            return torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
        return weighted_sq_norms(rotated(gradient, self._bases.get(column)), weight)


class DiagonalStatistic(FittedMeasure):
    """Score statistic with F_i = mean of g_i² over the examples.

    Arguments:
        model: The model.
        examples: uint8, (N, *shape).
        damping: Added to F.

    Raises:
        ScoreError: A gradient is not finite.
        UnsupportedError: No gradient exists.
    """

    def __init__(self, model: Any, examples: Tensor, damping: Damping) -> None:
        self._damping = damping
        super().__init__(model, examples)

    def _fit(self, model: Any) -> None:
        moments = self._gradients.added(model, self._examples.unsqueeze(1), SecondMoments)
        weight = _weights(model, moments.sums, len(self._examples), self._damping)
        self._score = ScoreStatistic(self._gradients, weight, {})

    def _evaluated(self, model: Any, groups: Tensor) -> Tensor:
        return self._score(model, groups)


def fit_ekfac(model: Any, examples: Tensor, damping: Damping, max_factor: int) -> ScoreStatistic:
    """Fit F in the Kronecker factors' eigenbases, with a second pass over the examples.

    Raises:
        ScoreError: A gradient is not finite.
        UnsupportedError: No gradient exists, or the model cannot be followed.
    """
    gradients, groups = Gradients(model, examples), examples.unsqueeze(1)
    with _kronecker_errors(model, gradients, groups):
        factors = gradients.added(model, groups, lambda: Factors(max_factor))
        bases = factors.bases()
        moments = gradients.added(model, groups, lambda: RotatedMoments(bases))
    return ScoreStatistic(gradients, _weights(model, moments.sums, len(examples), damping), bases)


def fit_kfac(model: Any, examples: Tensor, damping: Damping, max_factor: int) -> ScoreStatistic:
    """Fit F as Kronecker products, in a single pass over the examples.

    Raises:
        ScoreError: A gradient is not finite.
        UnsupportedError: No gradient exists, or the model cannot be followed.
    """
    gradients, groups = Gradients(model, examples), examples.unsqueeze(1)
    with _kronecker_errors(model, gradients, groups):
        factors = gradients.added(model, groups, lambda: KroneckerFactors(max_factor))
        decomposed = factors.decomposed()
    bases = {column: basis for column, (basis, _) in decomposed.items()}
    sums = factors.sums | {column: products for column, (_, products) in decomposed.items()}
    return ScoreStatistic(gradients, _weights(model, sums, len(examples), damping), bases)


@contextmanager
def _kronecker_errors(model: Any, gradients: Gradients, groups: Tensor) -> Iterator[None]:
    """Raise errors within the context for the user; also if gradients have no factors.

    A model whose modules the engine cannot follow has no factors. The engine can fail to recognise
    such a model where numbers are not finite, so the plain loop looks for such numbers first.
    """
    try:
        if gradients.obstacle is not None:
            raise gradients.obstacle
        yield
    except (Untraceable, Misaligned) as error:
        require_finite(looped_layer_gradients(model, groups))
        raise UnsupportedError(
            f"Kronecker factors of {type(model).__name__} cannot be computed: {error}; "
            "layer_fisher_diagonal works for any model with finite gradients"
        ) from error
    except torch.linalg.LinAlgError as error:
        raise ScoreError(f"Kronecker factors of {type(model).__name__}: {error}") from error


def _weights(
    model: Any, squares: Mapping[int, Tensor], examples: int, damping: Damping
) -> dict[int, Tensor]:
    names = [name for name, _ in model.named_parameters()]
    for column, sums in squares.items():
        if not bool(sums.isfinite().all()):
            raise ScoreError(
                f"the gradient of {names[column]!r} is not finite on the fit examples"
            )
    return {column: weights(sums, examples, damping) for column, sums in squares.items()}
