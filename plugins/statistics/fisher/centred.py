"""Gradients less their mean over the fit examples."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from plugins.statistics.fisher.gradients import FittedMeasure, Gradients
from plugins.statistics.fisher.moments import explicit_pieces
from plugins.statistics.layer_gradients.norms import GroupGradient


class CentredNorms(FittedMeasure):
    """Squared norm of the gradient less its mean over the examples, for each layer.

    Arguments:
        model: The model.
        examples: uint8, (N, *shape).

    Raises:
        ScoreError: A gradient is not finite.
        UnsupportedError: No gradient exists.
    """

    def _fit(self, model: Any) -> None:
        found = self._gradients.added(model, self._examples.unsqueeze(1), Sums)
        self._mean = {column: total / len(self._examples) for column, total in found.sums.items()}

    def _evaluated(self, model: Any, groups: Tensor) -> Tensor:
        return centred_sq_norms(self._gradients, model, groups, self._mean)


class Sums:
    """Sums of the gradients over groups, by column, float64."""

    def __init__(self) -> None:
        self.sums: dict[int, Tensor] = {}

    def __call__(self, column: int, gradient: GroupGradient) -> Tensor:
        """Add the gradients for some groups; return the squared norms, float64, (m,)."""
        norms = []
        for piece in explicit_pieces(gradient):
            total = piece.sum(0, dtype=torch.float64)
            self.sums[column] = self.sums[column] + total if column in self.sums else total
            norms.append(piece.double().square().reshape(len(piece), -1).sum(1))
        return torch.cat(norms)


def centred_sq_norms(
    gradients: Gradients, model: Any, groups: Tensor, mean: Mapping[int, Tensor]
) -> Tensor:
    """Evaluate |g - b m|² for each layer, g the gradient for a group of b; float64, (M, L).

    |g - b m|² = g . (g - 2 b m) + b² |m|²,   so that a layer that a group does not reach has g = 0

    Arguments:
        gradients: Computes g.
        model: The model.
        groups: uint8, (M, b, *shape).
        mean: m by column, float64, in the shape of the gradients.

    Raises:
        UnsupportedError: The model runs different modules or operations from the fit.
    """
    size = groups.shape[1]
    values = gradients.each(model, groups, partial(_beyond_mean, size, mean))
    for column, centre in mean.items():
        values[:, column] += size**2 * centre.square().sum()
    return values.clamp_min(0)


def _beyond_mean(
    size: int, mean: Mapping[int, Tensor], column: int, gradient: GroupGradient
) -> Tensor:
    """Compute g . (g - 2 b m) for some groups, float64, (m,); 0 where g is 0."""
    values = []
    for piece in explicit_pieces(gradient):
        g = piece.double()
        away = g - 2 * size * mean[column] if column in mean else g
        values.append((g * away).reshape(len(g), -1).sum(1))
    return torch.cat(values)
