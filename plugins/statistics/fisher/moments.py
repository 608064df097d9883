"""Second moments of gradients, and squares weighted by them, in pieces of bounded size."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from plugins.statistics.layer_gradients.norms import PIECE_BYTES, GroupGradient, Outer


def explicit_pieces(gradient: GroupGradient) -> Iterator[Tensor]:
    """The gradient of some groups after the other, multiplied out, floating, (m, ...)."""
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


class SecondMoments:
    """Sums over groups of the squares of each entry of each gradient, by column.

    They are of the gradient's precision and shape. Of a gradient that comes as a product the shape
    is that of the product.
    """

    def __init__(self) -> None:
        self.sums: dict[int, Tensor] = {}

    def __call__(self, column: int, gradient: GroupGradient) -> Tensor:
        """Add the squares of some groups; returns the squared norm of each, float64, (m,)."""
        norms = []
        for piece in explicit_pieces(gradient):
            squares = piece.square()
            total = squares.sum(0)
            if column in self.sums:
                self.sums[column] += total
            else:
                self.sums[column] = total
            norms.append(squares.flatten(1).sum(1, dtype=torch.float64))
        return torch.cat(norms)


def weights(sums: Tensor, examples: int, damping: float) -> Tensor:
    """1 / (F + damping mean(F)) with F the mean of squares; 0 throughout where F is 0 throughout.

    Arguments:
        sums: Of squares, floating; is overwritten.
        examples: How many squares were summed, n.
        damping: Relative to the mean of F over the layer.
    """
    fisher = sums.div_(examples)
    mean = fisher.mean(dtype=torch.float64)
    if float(mean) == 0:
        return fisher.zero_()
    return fisher.add_(damping * float(mean)).reciprocal_()


def weighted_sq_norms(gradient: GroupGradient, weight: Tensor) -> Tensor:
    """Sum over the entries of weight times square, float64, (m,), summed in float64."""
    values = [
        piece.square().mul_(weight).flatten(1).sum(1, dtype=torch.float64)
        for piece in explicit_pieces(gradient)
    ]
    return torch.cat(values)
