"""How a network's outputs change with its inputs, computed along with the outputs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class Values:
    """The functions between the affine layers of a network, for rows that are values."""

    def silu(self, x: Tensor) -> Tensor:
        """Apply x sigmoid(x) to each element."""
        return F.silu(x)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Compute softmax(query key' / sqrt(d)) value, each (N, ..., places, d)."""
        return _weights(query, key) @ value


class FirstOrder(Values):
    r"""The same to first order: rows are a value x, then x + e for each of P directions e.

    f(x + e) is taken as f(x) + J e. Affine layers do so by themselves. So a network takes such
    rows as it takes others, and gives outputs and derivatives without a backward pass.

    Arguments:
        directions: Number of directions, P.
    """

    def __init__(self, directions: int) -> None:
        self._directions = directions

    def join(self, x: Tensor, directions: Tensor) -> Tensor:
        """Make rows, (N (1 + P), ...), from x, (N, ...), and directions e, (N, P, ...)."""
        x = x.unsqueeze(1)
        return torch.cat((x, x + directions), dim=1).flatten(0, 1)

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Take x, (N, ...), and the directions, (N, P, ...), from rows: the inverse of `join`."""
        parts = rows.unflatten(0, (-1, 1 + self._directions))
        return parts[:, 0], parts[:, 1:] - parts[:, :1]

    def silu(self, x: Tensor) -> Tensor:
        """See `Values.silu`."""
        found: Tensor = _SiLU.apply(x.unflatten(0, (-1, 1 + self._directions)))
        return found.flatten(0, 1)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See `Values.attend`: a softmax w changes by w (a - w'a) if its argument changes by a."""
        (q, dq), (k, dk), (v, dv) = (self.split(rows) for rows in (query, key, value))
        weights = _weights(q, k)
        w, q, k = weights.unsqueeze(1), q.unsqueeze(1), k.unsqueeze(1)
        change = (dq @ k.transpose(-1, -2) + q @ dk.transpose(-1, -2)) / math.sqrt(q.shape[-1])
        dw = w * (change - (w * change).sum(-1, keepdim=True))
        return self.join(weights @ v, dw @ v.unsqueeze(1) + w @ dv)


class _SiLU(torch.autograd.Function):
    """SiLU to first order, for rows (N, 1 + P, ...): keeps its input alone for the way back.

    x s + slope (rows - x),   slope = s (1 + x (1 - s)),   s = sigmoid(x)
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor) -> Tensor:
        x = rows[:, :1]
        s = torch.sigmoid(x)
        return x * s + s * (1 + x * (1 - s)) * (rows - x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        x = rows[:, :1]
        s = torch.sigmoid(x)
        change = s * (1 - s) * (2 + x * (1 - 2 * s))  # of the slope
        found = delta * (s * (1 + x * (1 - s)))
        found[:, :1] += change * (delta[:, 1:] * (rows[:, 1:] - x)).sum(1, keepdim=True)
        return found


def _weights(query: Tensor, key: Tensor) -> Tensor:
    """Compute softmax(query key' / sqrt(d))."""
    return (query @ key.transpose(-1, -2) / math.sqrt(key.shape[-1])).softmax(-1)
