"""Random numbers: every stream is derived from a seed and a purpose, and drawn on the CPU.

CUDA's random numbers differ between GPU models; numbers from the CPU generator do not.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derived_seed(seed: int, purpose: str, epoch: int = 0) -> int:
    """Return a 63-bit seed for one purpose in one epoch."""
    sha = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode())
    return int.from_bytes(sha.digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """Return a CPU generator for one purpose in one epoch."""
    import torch

    return torch.Generator().manual_seed(derived_seed(seed, purpose, epoch))
