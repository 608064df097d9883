"""Invertible 1x1 convolutions: learned channel mixing."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def random_rotation(channels: int) -> Tensor:
    """Draw a uniform random rotation: float64, (C, C), orthogonal with determinant +1."""
    q, r = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))
    q = q * torch.sign(torch.diagonal(r))  # else QR is not uniform over orthogonal matrices
    q[:, 0] *= torch.linalg.det(q).sign()
    return q.contiguous()


def triangular_factors(
    lower: Tensor, upper: Tensor, log_s: Tensor, sign: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute L and U + diag(sign * exp(log_s)), floating, (..., C, C), for any batch shape.

    Arguments:
        lower: Floating, (..., C, C), read below the diagonal.
        upper: Floating, (..., C, C), read above the diagonal.
        log_s: Floating, (..., C).
        sign: Floating, (..., C).
    """
    diagonal = torch.diag_embed(sign * torch.exp(log_s))
    return lower.tril(-1) + torch.diag_embed(torch.ones_like(log_s)), upper.triu(1) + diagonal


def is_rounding(x: Tensor) -> bool:
    """Return whether networks on the device of x compute in bfloat16 here."""
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def exactly(x: Tensor) -> AbstractContextManager[object]:
    """Return a context in which products are computed in the dtype of x, never in bfloat16."""
    return torch.autocast(x.device.type, enabled=False) if is_rounding(x) else nullcontext()


def _apply(weight: Tensor, x: Tensor) -> Tensor:
    # Not conv2d: on a CPU, conv2d takes up to fifty times longer for a single channel.
    return torch.einsum("oc,nchw->nohw", weight, x)


class InvertibleConv1x1LU(nn.Module):
    r"""Invertible 1x1 convolution with the weight in LU form.

    weight = P L (U + diag(sign * exp(log_s)))                       (Kingma & Dhariwal, Eq. 10)
    ladj = H W sum_c log_s_c                                                         (Eq. 11)

    L is lower triangular with ones on the diagonal, U strictly upper triangular: only these parts
    are read from the parameters `lower` and `upper`. P (a permutation) and sign are fixed. The
    weight starts as a random rotation.

    Arguments:
        channels: Number of input channels, C in (N, C, H, W).

    References:
        | Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018), 3.2
        | https://arxiv.org/abs/1807.03039
    """

    p: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        p, lower, upper = torch.linalg.lu(random_rotation(channels))
        diagonal = torch.diagonal(upper)
        dtype = torch.get_default_dtype()
        self.lower = nn.Parameter(lower.tril(-1).to(dtype))  # (C, C)
        self.upper = nn.Parameter(upper.triu(1).to(dtype))  # (C, C)
        self.log_s = nn.Parameter(diagonal.abs().log().to(dtype))  # (C,)
        self.register_buffer("p", p.to(dtype))  # (C, C)
        self.register_buffer("sign", diagonal.sign().to(dtype))  # (C,)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Compute L and U + diag(sign * exp(log_s)), each floating, (C, C)."""
        return triangular_factors(self.lower, self.upper, self.log_s, self.sign)

    def weight(self) -> Tensor:
        """Multiply the factors to the weight, floating, (C, C)."""
        lower, upper = self.factors()
        return self.p @ (lower @ upper)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, and ladj (N,)."""
        ladj = self.log_s.sum() * (x.shape[2] * x.shape[3])
        with exactly(x):
            return _apply(self.weight(), x), ladj.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, C, H, W) to the same shape."""
        lower, upper = self.factors()
        half = torch.linalg.solve_triangular(lower, self.p.T, upper=False, unitriangular=True)
        with exactly(y):
            return _apply(torch.linalg.solve_triangular(upper, half, upper=True), y)


class InvertibleConv1x1(nn.Module):
    r"""Invertible 1x1 convolution with a plain weight.

    ladj = H W log|det weight|                                        (Kingma & Dhariwal, Eq. 9)

    The weight starts as a random rotation with determinant +1: for a single channel, the number 1.

    Arguments:
        channels: Number of input channels, C in (N, C, H, W).

    References:
        | Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018), 3.2
        | https://arxiv.org/abs/1807.03039
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(random_rotation(channels).to(torch.get_default_dtype()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map floating (N, C, H, W) to the same shape, and ladj (N,)."""
        ladj = torch.linalg.slogdet(self.weight).logabsdet * (x.shape[2] * x.shape[3])
        with exactly(x):
            return _apply(self.weight, x), ladj.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """Map floating (N, C, H, W) to the same shape."""
        with exactly(y):
            return _apply(torch.linalg.inv(self.weight), y)
