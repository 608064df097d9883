"""Detection of modules whose behaviour differs from their type."""

from __future__ import annotations

from torch import nn


def is_altered(module: nn.Module) -> bool:
    """Return whether a call does anything except run the forward method defined by the type."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in vars(module)
    )
