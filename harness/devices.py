"""Devices: what a run computes on."""

from __future__ import annotations

import torch

from harness.errors import BenchError


def find_device(name: str) -> torch.device:
    """The device of a name; `"auto"` is the first CUDA device, or else the CPU.

    Raises:
        BenchError: There is no such device.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise BenchError(f"--device {name}: no such device here ({reason})") from None
    return device
