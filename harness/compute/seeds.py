"""Random numbers: every stream derived from a seed and what it is for, drawn on the CPU.

CUDA's random numbers differ between GPU models; the CPU generator's do not.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derived_seed(seed: int, purpose: str, epoch: int = 0) -> int:
    """A 63-bit seed for one purpose in one epoch."""
    sha = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode())
    return int.from_bytes(sha.digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """A CPU generator for one purpose in one epoch."""
    import torch

    return torch.Generator().manual_seed(derived_seed(seed, purpose, epoch))
