"""All singular values, from the whole Jacobian: one backward pass per dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from oodbench import DensityModel, Flow, UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Memory in bytes for the Jacobians formed at a time.
JACOBIAN_BYTES = 256 * 2**20


def exact_spectra(flow: Flow, model: DensityModel, x: Tensor) -> NDArray[np.float64]:
    """Compute the log singular values of dx/dz, float64, (N, D), descending.

    With s_1 >= ... >= s_D the singular values of dz/dx, log σ_i = -log s_(D+1-i). All s_i are
    computed in float64 from a Jacobian in the model's precision. Values below the rounding error
    in s_1 are raised to that error, to keep logarithms finite.

    Arguments:
        flow: Provides `to_noise`.
        model: The same model, providing the parameters' dtype and device.
        x: uint8, (N, *domain.shape).

    Raises:
        UnsupportedError: `to_noise` is not differentiable in x.
    """
    dims = model.domain.dims
    chunk = max(1, JACOBIAN_BYTES // (8 * dims * dims))
    pieces = []
    for part in x.split(chunk):
        jacobian = noise_jacobian(flow, part.to(floating_type(model)))
        s = torch.linalg.svdvals(jacobian.to(torch.float64))
        least = torch.finfo(jacobian.dtype).eps * s[:, :1]
        pieces.append(-torch.maximum(s, least).log().flip(1))
    spectra: NDArray[np.float64] = torch.cat(pieces).cpu().numpy()
    return spectra


def noise_jacobian(flow: Flow, x: Tensor) -> Tensor:
    """Compute dz/dx, floating, (N, D, D), with a row for each noise dimension.

    Examples do not depend on each other, so the gradient of a column in z, summed over the
    examples, contains the same row of every example's Jacobian.

    Arguments:
        flow: Provides z by `to_noise`.
        x: Floating, (N, *domain.shape), in grey levels.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        columns = flow.to_noise(x).sum(0)
        rows = [differentiated(column, x).flatten(1) for column in columns]
    return torch.stack(rows, dim=1)


def differentiated(
    output: Tensor, source: Tensor, direction: Tensor | None = None, *, create_graph: bool = False
) -> Tensor:
    """Differentiate, as `torch.autograd.grad` does, and keep the graph.

    Raises:
        UnsupportedError: The output has no derivative.
    """
    found = None
    if output.requires_grad:
        keep = {"retain_graph": True, "create_graph": create_graph, "allow_unused": True}
        (found,) = torch.autograd.grad(output, source, direction, **keep)
    if found is None:
        raise UnsupportedError(
            "jacobian_spectrum needs a flow with to_noise(x) differentiable in x, and twice "
            "differentiable above exact_up_to dimensions"
        )
    return found


def floating_type(model: DensityModel) -> torch.dtype:
    """Return the dtype shared by the parameters; without parameters, the default of torch."""
    dtypes = (parameter.dtype for _, parameter in model.named_parameters())
    return next(dtypes, torch.get_default_dtype())
