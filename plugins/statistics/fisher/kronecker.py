"""Kronecker factors of the Fisher information of products, and the basis that they give."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from plugins.statistics.fisher.moments import SecondMoments
from plugins.statistics.layer_gradients.norms import GroupGradient, Outer

# Eigenvectors in columns, floating, (..., n, n), of the two sides; None for the unit matrix.
Basis: TypeAlias = tuple[Tensor | None, Tensor | None]


class Factors:
    """Sums over groups and positions of a a^T and d d^T of each gradient that is a product.

    Arguments:
        max_factor: Columns of a or d up to which there is a factor for that side.
    """

    def __init__(self, max_factor: int) -> None:
        self._max_factor = max_factor
        self.sums: dict[int, list[Tensor | None]] = {}

    def __call__(self, column: int, gradient: GroupGradient) -> Tensor:
        """Add some groups; returns 0 for those whose gradient is surely 0, float64, (m,)."""
        if isinstance(gradient, Tensor):
            return gradient.flatten(1).any(1).double()
        kept = self.sums.setdefault(column, [None, None])
        for side, rows in enumerate((gradient.a, gradient.d)):
            if rows.shape[-1] <= self._max_factor:
                found, product = kept[side], _product(rows)
                kept[side] = product if found is None else found.add_(product)
        return (gradient.a.flatten(1).any(1) & gradient.d.flatten(1).any(1)).double()

    def bases(self) -> dict[int, Basis]:
        """Eigenvectors of the factors by column; the factors are let go.

        Raises:
            torch.linalg.LinAlgError: A factor is not finite.
        """
        bases = {}
        for column in list(self.sums):
            a, d = (None if x is None else _eigenvectors(x) for x in self.sums.pop(column))
            bases[column] = a, d
        return bases


class RotatedMoments(SecondMoments):
    """Second moments in the basis of each column, and of what has none as it is."""

    def __init__(self, bases: dict[int, Basis]) -> None:
        super().__init__()
        self._bases = bases

    def __call__(self, column: int, gradient: GroupGradient) -> Tensor:
        """Add the squares of some groups; their squared norms, float64, (m,)."""
        return super().__call__(column, rotated(gradient, self._bases.get(column)))


def rotated(gradient: GroupGradient, basis: Basis | None) -> GroupGradient:
    """U_D^T G U_A of each group, as a product: rows a U_A and d U_D."""
    if basis is None or isinstance(gradient, Tensor):
        return gradient
    a, d = basis
    return Outer(
        gradient.a if a is None else gradient.a @ a, gradient.d if d is None else gradient.d @ d
    )


def _product(rows: Tensor) -> Tensor:
    """Sum of r r^T over groups and positions: (M, ..., P, n) to (..., n, n)."""
    rows = rows.movedim(0, -3).flatten(-3, -2)
    return rows.mT @ rows


def _eigenvectors(factor: Tensor) -> Tensor:
    if not bool(factor.isfinite().all()):
        raise torch.linalg.LinAlgError("a factor is not finite")
    eigenvectors: Tensor = torch.linalg.eigh(factor).eigenvectors
    return eigenvectors
