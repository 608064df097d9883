"""Singular values estimated without a Jacobian: stochastic Lanczos quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from oodbench import DensityModel, Flow
from plugins.statistics.jacobians.exact import differentiated, floating_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Nodes below this weight are rounding errors, in a block out of reach for the probe.
LEAST_WEIGHT = 1e-12


def estimated_spectra(
    flow: Flow, model: DensityModel, x: Tensor, *, probes: int, steps: int, seed: int
) -> NDArray[np.float64]:
    r"""Estimate the log singular values of dx/dz, float64, (N, D), descending.

    Take A = J'J, J = dz/dx, a probe v with unit length, and T the tridiagonal matrix from Lanczos'
    iteration on A and v. The eigenvalues θ_j of T, weighted by the squares w_j of the first
    eigenvector components, are Gauss' quadrature for the spectral measure of A seen from v. The
    mean over orthonormal probes estimates the share of eigenvalues of A below any value, and
    log σ_i is the quantile of -log θ / 2 at (D - i + 1/2) / D, interpolated linearly between the
    midpoints of the steps.

    Eigenvalues below ε θ_1, the rounding error in the largest, are indistinguishable and are
    raised to ε θ_1: σ is cut at 1 / (ε^½ s_1).

    Arguments:
        flow: Provides `to_noise`.
        model: The same model, providing the parameters' dtype and device.
        x: uint8, (N, *domain.shape).
        probes: Number of probes; limited to D, when the probes form a basis.
        steps: Number of steps per probe; limited to D.
        seed: Seed for drawing the probes.
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
    """Return the map v -> J'J v for each example, J = dz/dx; (N, D) to (N, D).

    J'u is a backward pass, linear in u, so differentiating J'u with respect to u along v gives
    J v: the model's operations need reverse-mode derivatives only.

    Arguments:
        flow: Provides z by `to_noise`.
        x: Floating, (N, *domain.shape), in grey levels.

    Raises:
        UnsupportedError: `to_noise` is not differentiable in x; from the map: not twice.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        z = flow.to_noise(x)
        u = torch.zeros_like(z, requires_grad=True)
        back = differentiated(z, x, u, create_graph=True).flatten(1)  # J'u, (N, D)

    def product(v: Tensor) -> Tensor:
        forward = differentiated(back, u, v)  # J v
        return differentiated(z, x, forward).flatten(1)

    return product


def quadrature(
    product: Callable[[Tensor], Tensor], start: Tensor, steps: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Compute nodes and weights, float64, (N, steps) each, for the start vector's measure.

    Each new vector in Lanczos' iteration is orthogonalised twice against all earlier vectors,
    because rounding after the first time leaves a remainder. If the start vector lies in a
    smaller invariant subspace, the iteration ends early, and all later vectors are zero and have
    zero weight.

    Arguments:
        product: Product with a symmetric, positive semidefinite matrix for each row.
        start: float64, (N, D), with unit length.
        steps: Number of products, at most D.
        dtype: Precision used for the product.
    """
    basis, diagonal, beside = [start], [], []
    end = 10 * torch.finfo(dtype).eps  # a relative norm below this is rounding: nothing is left
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
    """Compute `count` weighted quantiles, float64, descending, at (i - 1/2) / count."""
    order = np.argsort(values)
    order = order[weights[order] > LEAST_WEIGHT]
    shares = weights[order] / weights[order].sum()
    middles = np.cumsum(shares) - shares / 2
    places = (np.arange(count) + 0.5) / count
    return np.interp(places, middles, values[order])[::-1]


def _probes(dims: int, count: int, seed: int) -> Tensor:
    """Draw random orthonormal directions, float64, (count, dims)."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(dims, count, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(draws).Q.T
