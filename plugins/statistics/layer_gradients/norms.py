"""Squared norms for gradients given explicitly or as products of two factors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

# Size in bytes for pieces of a product, small enough to stay in cache.
PIECE_BYTES = 4 * 2**20
# Size in bytes for float64 copies: smaller, because each copy is read only once.
DOUBLE_BYTES = 2**20
# Count of numbers summed in float32 on a CPU, before the sum continues in float64.
RUN = 64
# Squares below 1e-38 vanish in float32; in a sum above this bound the loss is negligible.
SAFE = 1e-24
# Cost of summing an entry, in multiplications: for a Gram matrix, and for the product.
GRAM_ENTRY, ENTRY = 32, 4
# Minimum number of rows for splitting a Gram matrix.
GRAM_ROWS = 64
# Maximum number of entries, over all groups, for a gradient to wait for others of equal shape.
SMALL = 2**18


@dataclass(frozen=True)
class Outer:
    """The gradient sum_p d_p a_p^T for each group, not multiplied out.

    `a` is floating, (M, ..., P, I), and `d` is floating, (M, ..., P, O), with a sum over the P
    positions, but not over blocks ... (like the groups in a grouped convolution).
    """

    a: Tensor
    d: Tensor

    def explicit(self) -> Tensor:
        """Multiply out the product: floating, (M, ..., O, I)."""
        return self.d.transpose(-1, -2) @ self.a

    @property
    def gram_is_cheaper(self) -> bool:
        """True if the norm takes fewer operations without forming the product."""
        (p, i), o = self.a.shape[-2:], self.d.shape[-1]
        return gram_is_cheaper(p, i, o)

    def sq_norms(self) -> Tensor:
        """Compute the squared norm for each group, float64, (M,), by the cheaper exact form.

        |sum_p d_p a_p^T|^2 = sum_{p,q} (a_p . a_q) (d_p . d_q)             (Goodfellow, 2015)
        """
        m, (p, i), o = self.a.shape[0], self.a.shape[-2:], self.d.shape[-1]
        a, d = self.a.reshape(-1, p, i), self.d.reshape(-1, p, o)  # (M', P, I), (M', P, O)
        if p == 1:
            squares = explicit_sq_norms(a) * explicit_sq_norms(d)
        elif self.gram_is_cheaper:
            squares = _in_pieces(_gram_sq_norms, a, d, PIECE_BYTES // a.element_size(), p * p)
        else:
            squares = _in_pieces(_direct_sq_norms, a, d, PIECE_BYTES // a.element_size(), i * o)
        return squares.reshape(m, -1).sum(1)


GroupGradient: TypeAlias = Tensor | Outer


@dataclass(frozen=True)
class Rows:
    """The gradient with d_p added to row i_p, for each group: of a table with rows looked up.

    `rows` is int64, (M, P), in [0, `size`), and `d` is floating, (M, P, E). The gradient has
    `size` rows, most of them zero, and is never formed for a norm.
    """

    rows: Tensor
    d: Tensor
    size: int

    def product(self) -> Outer:
        """Return the same gradient as a product, with a one-hot factor (M, P, size)."""
        return Outer(self.d, F.one_hot(self.rows, self.size).to(self.d.dtype))

    def sq_norms(self) -> Tensor:
        """Compute the squared norm for each group, float64, (M,): sums over equal rows first."""
        groups = torch.arange(len(self.rows), device=self.rows.device)
        cells, places = torch.unique(
            self.rows + self.size * groups.unsqueeze(1), return_inverse=True
        )
        sums = self.d.new_zeros(len(cells), self.d.shape[-1])
        sums.index_add_(0, places.flatten(), self.d.flatten(0, 1))
        norms = torch.zeros(len(groups), dtype=torch.float64, device=self.d.device)
        return norms.index_add_(0, cells // self.size, explicit_sq_norms(sums))

    def inner_products(self, product: Outer) -> Tensor:
        """Compute the inner product with a product for each group, float64, (M,).

        sum_{p,q} d'_q[i_p] (a_q . d_p)  for a product with rows a_q and d'_q
        """
        picked = product.d.gather(2, self.rows.unsqueeze(1).expand(-1, product.d.shape[1], -1))
        return _inner_products(picked, torch.bmm(product.a, self.d.transpose(1, 2)))


def _sum_of_rows(parts: Sequence[Rows]) -> Rows:
    rows = torch.cat([part.rows for part in parts], 1)
    return Rows(rows, torch.cat([part.d for part in parts], 1), parts[0].size)


def _sum_of_rows_and_product(rows: Rows, product: Outer) -> Deferred:
    """Add the gradients of a tied table: of the rows looked up, and of a linear layer."""

    def norms() -> Tensor:
        cross = rows.inner_products(product)
        # A sum with both signs may be rounded below zero.
        return (rows.sq_norms() + product.sq_norms() + 2 * cross).clamp_min(0)

    return Deferred(norms, lambda: _joined([rows.product(), product], -2))


def gram_is_cheaper(positions: int, inputs: int, outputs: int) -> bool:
    """Return whether the norm of a product takes fewer operations by Gram matrices.

    Forming the product takes P I O multiplications, and two Gram matrices P² (I + O); the
    constants add the cost of summing the entries.
    """
    by_gram = positions * positions * (inputs + outputs + GRAM_ENTRY)
    return by_gram < inputs * outputs * (positions + ENTRY)


@dataclass(frozen=True)
class Deferred:
    """A gradient whose squared norms are cheaper than the gradient itself.

    Attributes:
        norms: Computes the squared norm for each group, float64, (M,).
        gradient: Computes the gradient, explicit or as a product.
    """

    norms: Callable[[], Tensor]
    gradient: Callable[[], GroupGradient]


# What rules return.
RuleGradient: TypeAlias = GroupGradient | Rows | Deferred


def settled(gradient: RuleGradient) -> GroupGradient:
    """Return the gradient itself, explicit or as a product."""
    if isinstance(gradient, Deferred):
        return gradient.gradient()
    return gradient.product() if isinstance(gradient, Rows) else gradient


def total(parts: Sequence[RuleGradient]) -> RuleGradient:
    """Sum a parameter's gradients over the calls of a module, or of modules that share it."""
    if len(parts) == 1:
        return parts[0]
    rows = [part for part in parts if isinstance(part, Rows)]
    if rows:
        found, others = _sum_of_rows(rows), [p for p in parts if not isinstance(p, Rows)]
        other = total(others) if others else None
        if other is None:
            return found
        if isinstance(other, Outer) and other.a.dim() == 3:
            return _sum_of_rows_and_product(found, other)
    gradients = [settled(part) for part in parts]
    products = [part for part in gradients if isinstance(part, Outer)]
    if len(products) == len(parts):
        return _joined(products, -2)
    explicit = [part.explicit() if isinstance(part, Outer) else part for part in gradients]
    shape = explicit[0].shape
    return torch.stack([part.reshape(shape) for part in explicit]).sum(0)


def _joined(products: Sequence[Outer], dim: int) -> Outer:
    """Join several products into a single product, by joining rows along a dimension."""
    a = torch.cat([product.a for product in products], dim)
    d = torch.cat([product.d for product in products], dim)
    return Outer(a, d)


def sq_norms(gradient: RuleGradient) -> Tensor:
    """Compute the squared norm for each group, float64, (M,)."""
    if isinstance(gradient, Deferred):
        return gradient.norms()
    if isinstance(gradient, Outer | Rows):
        return gradient.sq_norms()
    return explicit_sq_norms(gradient)


def masked_sq_norms(a: Tensor, d: Tensor, mask: Tensor) -> Tensor:
    """Compute squared norms of mask * sum_p d_p a_p^T for each group, float64, (M,).

    For a single position the norm is a product too: sum_{o,i} mask_{oi} d_o^2 a_i^2.

    Arguments:
        a: Floating, (M, P, I).
        d: Floating, (M, P, O).
        mask: 0 or 1, (O, I).
    """
    mask = mask.to(a.dtype)
    if a.shape[1] == 1:
        (a, top_a), (d, top_d) = _scaled(a.squeeze(1)), _scaled(d.squeeze(1))
        sums = ((d.square() @ mask) * a.square()).sum(1, dtype=torch.float64)
        return sums * top_a.double().square() * top_d.double().square()

    def form(a: Tensor, d: Tensor) -> Tensor:
        return explicit_sq_norms(torch.bmm(d.transpose(1, 2), a) * mask)

    return _in_pieces(form, a, d, PIECE_BYTES // a.element_size(), mask.numel())


def _scaled(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Divide each row of (M, n) by its largest magnitude, so that squares stay in range; (M,)."""
    top = rows.abs().amax(1)
    top = torch.where(top == 0, 1, top)
    return rows / top.unsqueeze(1), top


def explicit_sq_norms(gradients: Tensor) -> Tensor:
    """Compute the squared norm for each row, float64, (M,), of floating (M, ...), in float64.

    On a CPU, long float32 rows are summed in short runs first, unless squares would underflow or
    overflow.
    """
    gradients = _at_least_float32(gradients)
    rows = gradients.flatten(1) if gradients.dim() > 1 else gradients.unsqueeze(1)
    if rows.dtype == torch.float64 or rows.numel() * 8 <= DOUBLE_BYTES:
        return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64).square()
    if _has_runs(rows):
        runs = torch.linalg.vector_norm(rows.unflatten(1, (-1, RUN)), dim=2)
        norms = runs.double().square().sum(1)
        if _is_safe(norms):
            return norms
    step = max(1, DOUBLE_BYTES // (8 * rows.shape[1]))
    pieces = [torch.linalg.vector_norm(x, dim=1, dtype=torch.float64) for x in rows.split(step)]
    return torch.cat(pieces).square()


def _has_runs(rows: Tensor) -> bool:
    """Return whether a sum over rows, (M, n), may be taken in short float32 runs, on a CPU.

    Converting every number to float64 takes four times as long on a CPU; elsewhere the
    conversion is free.
    """
    return rows.dtype == torch.float32 and rows.device.type == "cpu" and not rows.shape[1] % RUN


def _is_safe(sums: Tensor) -> bool:
    """Return whether all squares, or products of two numbers, stayed within float32's range."""
    low, high = torch.aminmax(sums)
    return low.item() > SAFE and high.item() < math.inf


# Maps a column and the gradient for M groups to a number per group, float64, (M,).
Measure: TypeAlias = Callable[[int, GroupGradient], Tensor]


class NormTable:
    """Squared norms by group and column, collected in any order.

    Small gradients with equal shapes wait for each other and are processed together: for a small
    model, most time is spent on the number of calls into torch.

    Arguments:
        groups: Number of groups, M.
    """

    def __init__(self, groups: int) -> None:
        self.groups = groups
        self._waiting: dict[object, list[tuple[int, GroupGradient]]] = {}
        self._done: list[tuple[Sequence[int], Tensor]] = []

    def measure(self, column: int, gradient: GroupGradient) -> Tensor:
        """Measure a gradient for some groups, float64, (M,): here by squared norms."""
        return sq_norms(gradient)

    def add(self, column: int, gradient: RuleGradient) -> None:
        """Add a gradient; only small tensors and products wait, all others are not kept."""
        if isinstance(gradient, Deferred | Rows):
            self.add_norms([column], sq_norms(gradient).unsqueeze(0))
            return
        factors = [gradient.a, gradient.d] if isinstance(gradient, Outer) else [gradient]
        key = tuple(factor.shape for factor in factors)
        if sum(factor.numel() for factor in factors) > SMALL:
            self.add_norms([column], sq_norms(gradient).unsqueeze(0))
        else:
            self._waiting.setdefault(key, []).append((column, gradient))

    def add_norms(self, columns: Sequence[int], norms: Tensor) -> None:
        """Add squared norms, float64, (len(columns), M)."""
        self._done.append((columns, norms))

    @torch.no_grad()
    def result(self, columns: int, like: Tensor) -> Tensor:
        """Return all norms, float64, (M, columns), on the device of `like`; 0 where missing."""
        for items in self._waiting.values():
            stacked = _stacked([gradient for _, gradient in items])
            norms = sq_norms(stacked).reshape(len(items), self.groups)
            self.add_norms([column for column, _ in items], norms)
        self._waiting.clear()
        table = torch.zeros(columns, self.groups, dtype=torch.float64, device=like.device)
        if self._done:
            order = [column for columns, _ in self._done for column in columns]
            table[order] = torch.cat([norms for _, norms in self._done])
        return table.T


class MeasureTable(NormTable):
    """Table with another measure in place of the squared norm, applied to each gradient at once.

    Arguments:
        measure: Function of a column and the gradient.
        groups: Number of groups, M.
    """

    def __init__(self, measure: Measure, groups: int) -> None:
        super().__init__(groups)
        self._measure = measure

    def measure(self, column: int, gradient: GroupGradient) -> Tensor:
        """Apply the measure, float64, (M,)."""
        return self._measure(column, gradient)

    def add(self, column: int, gradient: RuleGradient) -> None:
        """Add a gradient's measure; the gradient is not kept."""
        self.add_norms([column], self._measure(column, settled(gradient)).unsqueeze(0))


def _stacked(gradients: Sequence[GroupGradient]) -> GroupGradient:
    """Stack gradients with equal shapes, like a gradient for more groups."""
    if len(gradients) == 1:
        return gradients[0]
    products = [each for each in gradients if isinstance(each, Outer)]
    if products:
        return _joined(products, 0)
    return torch.cat([each for each in gradients if isinstance(each, Tensor)])


def _in_pieces(
    form: Callable[[Tensor, Tensor], Tensor], a: Tensor, d: Tensor, most: int, size: int
) -> Tensor:
    """Apply a form in pieces, with at most `most` numbers at a time and `size` numbers per row."""
    step = max(1, most // size)
    if step >= len(a):
        return form(a, d)
    pieces = zip(a.split(step), d.split(step), strict=True)
    return torch.cat([form(*piece) for piece in pieces])


def _direct_sq_norms(a: Tensor, d: Tensor) -> Tensor:
    """Multiply out the product, a few of its rows at a time where it is large; float64, (M,)."""
    step = max(1, PIECE_BYTES // (len(a) * a.shape[2] * a.element_size()))
    pieces = [explicit_sq_norms(torch.bmm(x.transpose(1, 2), a)) for x in d.split(step, 2)]
    return torch.stack(pieces).sum(0)


def _gram_sq_norms(a: Tensor, d: Tensor) -> Tensor:
    # A sum with both signs may be rounded below zero; a squared norm must not be negative. Entries
    # of Gram matrices in bfloat16 would lose too much where both signs cancel.
    return _gram_sums(_at_least_float32(a), _at_least_float32(d)).clamp_min(0)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.bfloat16 else x


def _gram_sums(a: Tensor, d: Tensor) -> Tensor:
    """Sum (a_p . a_q) (d_p . d_q) over all p, q; float64, (M,).

    The matrices are symmetric: two of the four quarters are equal, and the other two are sums of
    the same form.
    """
    m, p, half = *a.shape[:2], a.shape[1] // 2
    if p % 2 or half < GRAM_ROWS:
        return _sum_of_products(a, a, d, d)
    quarter = _sum_of_products(a[:, :half], a[:, half:], d[:, :half], d[:, half:])
    halves = _gram_sums(a.reshape(2 * m, half, -1), d.reshape(2 * m, half, -1))
    return 2 * quarter + halves.view(m, 2).sum(1)


def _sum_of_products(a: Tensor, b: Tensor, d: Tensor, e: Tensor) -> Tensor:
    gram_a = torch.bmm(a, b.transpose(1, 2))
    gram_d = torch.bmm(d, e.transpose(1, 2))
    size = gram_a.shape[1] * gram_a.shape[2]
    return _in_pieces(_inner_products, gram_a, gram_d, DOUBLE_BYTES // 8, size)


def _inner_products(a: Tensor, d: Tensor) -> Tensor:
    products = (a * d).flatten(1)
    if _has_runs(products):
        sums = products.unflatten(1, (-1, RUN)).sum(2).sum(1, dtype=torch.float64)
        if _is_safe(sums):
            return sums
    # In float64: the product of two squares may leave the float32 range.
    return (a.double() * d).sum((1, 2))
