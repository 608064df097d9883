"""A computation on the CPU and on the emulated device: the same numbers, in the right place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from harness.testing.checks import Fault
from harness.testing.placement.emulated import DEVICE, EmulatedTensor, Emulation, emulated_device

Computation: TypeAlias = Callable[[torch.device], Mapping[str, Any]]
"""Computes on a device; returns tensors on the device, or values on the CPU, by name."""


ROUNDING = {"float64": 1e-9, "float32": 1e-4}
"""Tolerated share of the largest number: torch chooses some kernels by the device, for example in
attention and in recurrent layers."""


def same_on_both(compute: Computation) -> Emulation:
    """Compute on the CPU and on the emulated device, and compare the results.

    Both runs start from the same seed of torch. A result that is a tensor must be on the device
    of the computation; NumPy arrays and other values are on the CPU.

    Arguments:
        compute: The computation. It moves models and examples with `.to(device)`.

    Returns:
        The emulation: the largest difference by rounding, 0 where all numbers are equal bit for
        bit, and the places where a GPU would make the program wait.

    Raises:
        Fault: Tensors on both devices were mixed, or results differ by more than rounding.
    """
    torch.manual_seed(0)
    expected = compute(torch.device("cpu"))
    with emulated_device() as emulation:
        torch.manual_seed(0)
        found = compute(DEVICE)
        copies = {name: _on_cpu(name, found[name], value) for name, value in expected.items()}
    differences = [_difference(name, copies[name], value) for name, value in expected.items()]
    emulation.rounding = max(differences, default=0.0)
    return emulation


def remark(emulation: Emulation) -> str:
    """Say by how much numbers differ, if they do."""
    if not emulation.rounding:
        return ""
    return f"numbers differ from those of the CPU by rounding, up to {emulation.rounding:.1g}"


def _on_cpu(name: str, found: Any, expected: Any) -> Any:
    if not isinstance(expected, Tensor):
        return found
    if not isinstance(found, EmulatedTensor):
        raise Fault(f"{name} is on the CPU: return it on the device of the parameters")
    return found.detach().cpu()


def _difference(name: str, found: Any, expected: Any) -> float:
    """Return the largest difference, as a share of the largest number.

    Raises:
        Fault: The results differ by more than rounding.
    """
    if isinstance(expected, Tensor):
        found, expected = found.numpy(), expected.detach().numpy()
    by = ""
    if isinstance(expected, np.ndarray) and _kind(found) == _kind(expected):
        if found.tobytes() == expected.tobytes():
            return 0.0
        if expected.dtype.kind == "f":
            largest = np.abs(expected).max()
            share = float(np.abs(found - expected).max() / largest)
            if share <= ROUNDING.get(expected.dtype.name, 0.02):
                return share
            by = f" (by up to {share:.3g} of the largest number)"
    elif not isinstance(expected, np.ndarray) and found == expected:
        return 0.0
    raise Fault(
        f"{name} on the device differs from {name} on the CPU{by}: does the computation depend on "
        "the device?"
    )


def _kind(values: Any) -> object:
    return getattr(values, "dtype", None), getattr(values, "shape", None)
