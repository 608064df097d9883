"""Singular values estimated without a Jacobian: stochastic Lanczos quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from oodbench import DensityModel, Flow
from plugins.statistics.jacobians.exact import floating_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A node of less weight is rounding: one in a block that the probe does not reach.
LEAST_WEIGHT = 1e-12


def estimated_spectra(
    flow: Flow, model: DensityModel, x: Tensor, *, probes: int, steps: int, seed: int
) -> NDArray[np.float64]:
    r"""Estimated logarithms of the singular values of dx/dz, float64, (N, D), descending.

    With A = J'J, J = dz/dx, a probe v of unit length and T the tridiagonal matrix that Lanczos'
    iteration makes of them, the eigenvalues θ_j of T and the squares w_j of the first components
    of its eigenvectors are Gauss' quadrature of the spectral measure that v sees. Its mean over
    orthonormal probes estimates the share of eigenvalues of A below any value, and log σ_i is
    the quantile of -log θ / 2 at (D - i + 1/2) / D. Linear between the middles of the steps.

    Eigenvalues below the rounding of the largest, ε θ_1, cannot be told from each other and are
    set to it: σ of more than 1 / (ε^½ s_1) are cut there.

    Arguments:
        flow: The model's `to_noise`.
        model: The same model: its parameters give dtype and device.
        x: uint8, (N, *domain.shape).
        probes: At most D are used, which are then a basis.
        steps: At most D are made.
        seed: Of the probes.
    """
    dims, dtype = model.domain.dims, floating_type(model)
    product = gram_product(flow, x.to(dtype))
    nodes, weights = [], []
    for probe in _probes(dims, min(probes, dims), seed):
        start = probe.to(x.device).expand(len(x), dims)
        theta, w = quadrature(product, start, min(steps, dims), dtype)
        nodes.append(theta)
        weights.append(w)
    theta, w = torch.cat(nodes, dim=1), torch.cat(weights, dim=1) / len(nodes)
    least = torch.finfo(dtype).eps * theta.amax(1, keepdim=True)
    log_sigma = -0.5 * torch.maximum(theta, least).log()
    rows = zip(log_sigma.cpu().numpy(), w.cpu().numpy(), strict=True)
    return np.stack([quantiles(values, shares, dims) for values, shares in rows])


def gram_product(flow: Flow, x: Tensor) -> Callable[[Tensor], Tensor]:
    """The map v -> J'J v for each example, J = dz/dx; (N, D) to the same.

    J'u is a backward pass, linear in u, so its own derivative in u along v is J v: derivatives
    of a model's operations in one direction only are needed.

    Arguments:
        flow: Whose noise z is.
        x: Floating, (N, *domain.shape), in grey levels.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        z = flow.to_noise(x)
        u = torch.zeros_like(z, requires_grad=True)
        back = torch.autograd.grad(z, x, u, create_graph=True)[0].flatten(1)  # J'u, (N, D)

    def product(v: Tensor) -> Tensor:
        forward = torch.autograd.grad(back, u, v, retain_graph=True)[0]  # J v
        return torch.autograd.grad(z, x, forward, retain_graph=True)[0].flatten(1)

    return product


def quadrature(
    product: Callable[[Tensor], Tensor], start: Tensor, steps: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Nodes and weights, float64, (N, steps) each, of the measure that a start vector sees.

    Lanczos' iteration, orthogonalised twice against all that came before. Where it has come to
    an end, because the start vector lies in a smaller invariant subspace, what follows is zero
    and has no weight.

    Arguments:
        product: Of a symmetric, positive semidefinite matrix for each row.
        start: float64, (N, D), of unit length.
        steps: How many products, at most D.
        dtype: Of the product.
    """
    basis, diagonal, beside = [start], [], []
    end = 10 * torch.finfo(dtype).eps
    for _ in range(steps):
        w = product(basis[-1].to(dtype)).to(torch.float64)
        diagonal.append((w * basis[-1]).sum(1))
        known = torch.stack(basis, dim=1)  # (N, j, D)
        for _ in range(2):
            w = w - (known.transpose(1, 2) @ (known @ w.unsqueeze(2))).squeeze(2)
        norm = torch.linalg.vector_norm(w, dim=1)
        scale = torch.stack(diagonal).amax(0)
        norm = torch.where(norm > end * scale, norm, 0.0)
        beside.append(norm)
        basis.append(torch.where(norm > 0, 1 / norm, 0.0).unsqueeze(1) * w)
    off = torch.diag_embed(torch.stack(beside[:-1], dim=1), offset=1) if steps > 1 else 0.0
    matrix = torch.diag_embed(torch.stack(diagonal, dim=1)) + off  # (N, m, m), upper half
    theta, vectors = torch.linalg.eigh(matrix, UPLO="U")
    return theta, vectors[:, 0].square()


def quantiles(
    values: NDArray[np.float64], weights: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """`count` quantiles of weighted values, float64, descending, at (i - 1/2) / count."""
    order = np.argsort(values)
    order = order[weights[order] > LEAST_WEIGHT]
    shares = weights[order] / weights[order].sum()
    middles = np.cumsum(shares) - shares / 2
    places = (np.arange(count) + 0.5) / count
    return np.interp(places, middles, values[order])[::-1]


def _probes(dims: int, count: int, seed: int) -> Tensor:
    """Random orthonormal directions, float64, (count, dims)."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(dims, count, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(draws).Q.T
