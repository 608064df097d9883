"""Whether a module still does what its type does."""

from __future__ import annotations

from torch import nn


def is_altered(module: nn.Module) -> bool:
    """Whether a call does more or other than the forward of its type."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in vars(module)
    )
