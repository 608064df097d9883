"""Second moments for gradients, and weighted squared norms, in pieces with bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from plugins.statistics.layer_gradients.norms import PIECE_BYTES, GroupGradient, Outer


def explicit_pieces(gradient: GroupGradient) -> Iterator[Tensor]:
    """Yield the gradient for a few groups at a time, multiplied out, floating, (m, ...)."""
    if isinstance(gradient, Tensor):
        yield from gradient.split(_groups_at_once(gradient[0].numel(), gradient))
        return
    blocks = gradient.a.shape[1:-2].numel()
    numbers = blocks * gradient.a.shape[-1] * gradient.d.shape[-1]
    step = _groups_at_once(numbers, gradient.a)
    for a, d in zip(gradient.a.split(step), gradient.d.split(step), strict=True):
        yield Outer(a, d).explicit()


def _groups_at_once(numbers: int, like: Tensor) -> int:
    return max(1, PIECE_BYTES // max(1, numbers * like.element_size()))


def _sums(values: Tensor) -> Tensor:
    """Sum the entries of each group, in float64; (m,) from (m, ...), also for scalar layers."""
    return values.reshape(len(values), -1).sum(1, dtype=torch.float64)


class SecondMoments:
    """Sums over groups of the squared gradient entries, by column.

    The sums have the gradient's precision and shape. If the gradient is given as a product, the
    sums have the shape of the multiplied product.
    """

    def __init__(self) -> None:
        self.sums: dict[int, Tensor] = {}

    def __call__(self, column: int, gradient: GroupGradient) -> Tensor:
        """Add the squares for some groups; return the squared norms, float64, (m,)."""
        norms = []
        for piece in explicit_pieces(gradient):
            squares = piece.square()
            total = squares.sum(0)
            if column in self.sums:
                self.sums[column] += total
            else:
                self.sums[column] = total
            norms.append(_sums(squares))
        return torch.cat(norms)


@dataclass(frozen=True)
class Damping:
    """Number added to each entry of the Fisher information F in a layer.

    Attributes:
        value: λ.
        unit: `relative`: λ times the mean of F over the layer is added; `absolute`: λ is added.
    """

    value: float
    unit: Literal["relative", "absolute"] = "relative"

    def added(self, mean: float) -> float:
        """Return the number to add in a layer in which F has this mean."""
        return self.value * (mean if self.unit == "relative" else 1.0)


def weights(sums: Tensor, examples: int, damping: Damping) -> Tensor:
    """Compute 1 / (F + damping) with F the mean of squares; all 0 if F is all 0.

    Arguments:
        sums: Summed squares, floating; overwritten by the result.
        examples: Number of squares in each sum, n.
        damping: Added to each entry of F.
    """
    fisher = sums.div_(examples)
    mean = fisher.mean(dtype=torch.float64)
    if float(mean) == 0:
        return fisher.zero_()
    return fisher.add_(damping.added(float(mean))).reciprocal_()


def weighted_sq_norms(gradient: GroupGradient, weight: Tensor) -> Tensor:
    """Sum weight times square over the entries, in float64; float64, (m,)."""
    values = [_sums(piece.square().mul_(weight)) for piece in explicit_pieces(gradient)]
    return torch.cat(values)
