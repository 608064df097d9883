"""Kronecker factors for the Fisher information, and the eigenbases derived from the factors."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from plugins.statistics.fisher.moments import SecondMoments
from plugins.statistics.layer_gradients.norms import GroupGradient, Outer

# Eigenvectors in columns, floating, (..., n, n), for the two sides; None for the unit matrix.
Basis: TypeAlias = tuple[Tensor | None, Tensor | None]


class Factors:
    """Sums of a a^T and d d^T over groups and positions, for each gradient given as a product.

    Arguments:
        max_factor: Maximum number of columns in a or d for a factor on that side.
    """

    def __init__(self, max_factor: int) -> None:
        self._max_factor = max_factor
        self.sums: dict[int, list[Tensor | None]] = {}

    def __call__(self, column: int, gradient: GroupGradient) -> Tensor:
        """Add some groups; return 0 where the gradient is surely 0, else 1; float64, (m,).

        The engine reads the returned values: a parameter is verified once a value is not 0.
        """
        if isinstance(gradient, Tensor):
            return gradient.reshape(len(gradient), -1).any(1).double()  # scalars have no axis
        kept = self.sums.setdefault(column, [None, None])
        for side, rows in enumerate((gradient.a, gradient.d)):
            if rows.shape[-1] <= self._max_factor:
                found, product = kept[side], _product(rows)
                kept[side] = product if found is None else found.add_(product)
        return (gradient.a.flatten(1).any(1) & gradient.d.flatten(1).any(1)).double()

    def bases(self) -> dict[int, Basis]:
        """Return the factors' eigenvectors by column; the factors are freed.

        Raises:
            torch.linalg.LinAlgError: A factor is not finite.
        """
        bases = {}
        for column in list(self.sums):
            a, d = (
                None if x is None else _decomposed(x).eigenvectors for x in self.sums.pop(column)
            )
            bases[column] = a, d
        return bases


class KroneckerFactors(SecondMoments):
    """Kronecker factors where both sides are short enough; second moments for other gradients.

    Arguments:
        max_factor: Maximum number of columns in a and d for a gradient to have factors.

    Attributes:
        rows: Number of rows over groups and positions, for the columns with factors.
    """

    def __init__(self, max_factor: int) -> None:
        super().__init__()
        self._max_factor = max_factor
        self._factors = Factors(max_factor)
        self.rows: dict[int, int] = {}

    def __call__(self, column: int, gradient: GroupGradient) -> Tensor:
        """Add some groups; return 0 where the gradient is surely 0; float64, (m,)."""
        if isinstance(gradient, Tensor) or self._is_long(gradient):
            return super().__call__(column, gradient)
        rows = len(gradient.a) * gradient.a.shape[-2]
        self.rows[column] = self.rows.get(column, 0) + rows
        return self._factors(column, gradient)

    def decomposed(self) -> dict[int, tuple[Basis, Tensor]]:
        """Return eigenvectors, and summed squares n s, by column; the factors are freed.

        With A = Σ a a^T and D = Σ d d^T over n groups and R rows in all, the Fisher information
        is A ⊗ D / (n R), as in KFC: the sum over positions has independent terms, in which a and
        d are independent. The eigenvalues are products, n s_ij = λ_j(A) λ_i(D) / R.

        Raises:
            torch.linalg.LinAlgError: A factor is not finite.
        """
        found = {}
        for column in list(self._factors.sums):
            a, d = (_decomposed(x) for x in self._factors.sums.pop(column) if x is not None)
            products = d.eigenvalues[..., :, None] * a.eigenvalues[..., None, :]
            found[column] = (a.eigenvectors, d.eigenvectors), products / self.rows[column]
        return found

    def _is_long(self, gradient: Outer) -> bool:
        return max(gradient.a.shape[-1], gradient.d.shape[-1]) > self._max_factor


class RotatedMoments(SecondMoments):
    """Second moments in the basis for each column; columns without a basis stay unrotated."""

    def __init__(self, bases: dict[int, Basis]) -> None:
        super().__init__()
        self._bases = bases

    def __call__(self, column: int, gradient: GroupGradient) -> Tensor:
        """Add the squares for some groups; return the squared norms, float64, (m,)."""
        return super().__call__(column, rotated(gradient, self._bases.get(column)))


def rotated(gradient: GroupGradient, basis: Basis | None) -> GroupGradient:
    """Rotate the gradient to U_D^T G U_A for each group, a product with rows a U_A and d U_D."""
    if basis is None or isinstance(gradient, Tensor):
        return gradient
    a, d = basis
    return Outer(
        gradient.a if a is None else gradient.a @ a, gradient.d if d is None else gradient.d @ d
    )


def _product(rows: Tensor) -> Tensor:
    """Sum r r^T over groups and positions: (M, ..., P, n) to (..., n, n)."""
    rows = rows.movedim(0, -3).flatten(-3, -2)
    return rows.mT @ rows


class _Decomposed(NamedTuple):
    """Eigenvalues, ascending and not negative, (..., n), and eigenvectors in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _decomposed(factor: Tensor) -> _Decomposed:
    if not bool(factor.isfinite().all()):
        raise torch.linalg.LinAlgError("a factor is not finite")
    eigenvalues, eigenvectors = torch.linalg.eigh(factor)
    return _Decomposed(eigenvalues.clamp_min(0), eigenvectors)  # rounding may leave -1e-17
