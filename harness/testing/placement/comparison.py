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


def same_on_both(compute: Computation) -> Emulation:
    """Compute on the CPU and on the emulated device, and compare the results bit for bit.

    Both runs start from the same seed of torch. A result that is a tensor must be on the device
    of the computation; NumPy arrays, numbers and bytes are on the CPU.

    Arguments:
        compute: The computation. It moves models and examples with `.to(device)`.

    Returns:
        The emulation, with the places where a GPU would make the program wait.

    Raises:
        Fault: Tensors on both devices were mixed, or results differ.
    """
    torch.manual_seed(0)
    expected = compute(torch.device("cpu"))
    with emulated_device() as emulation:
        torch.manual_seed(0)
        found = compute(DEVICE)
        copies = {name: _on_cpu(name, found[name], value) for name, value in expected.items()}
    for name, value in expected.items():
        _require_equal(name, copies[name], value)
    return emulation


def _on_cpu(name: str, found: Any, expected: Any) -> Any:
    if not isinstance(expected, Tensor):
        return found
    if not isinstance(found, EmulatedTensor):
        raise Fault(f"{name} is on the CPU: return it on the device of the parameters")
    return found.detach().cpu()


def _require_equal(name: str, found: Any, expected: Any) -> None:
    if isinstance(expected, Tensor):
        found, expected = found.numpy(), expected.detach().numpy()
    if not isinstance(expected, np.ndarray):
        is_equal = found == expected
    else:
        is_equal = _bits(found) == _bits(expected)
    if not is_equal:
        raise Fault(
            f"{name} on the device differs from {name} on the CPU{_by(found, expected)}: does the "
            "computation depend on the device?"
        )


def _bits(values: Any) -> tuple[Any, ...]:
    array = np.asarray(values)
    return array.dtype, array.shape, array.tobytes()


def _by(found: Any, expected: Any) -> str:
    """Return the largest difference of numbers, in brackets."""
    if isinstance(expected, bytes) or np.shape(found) != np.shape(expected):
        return ""
    return f" (by up to {np.abs(np.subtract(found, expected, dtype=np.float64)).max():.3g})"
