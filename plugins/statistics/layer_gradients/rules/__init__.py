"""Rules: gradients for a module type, derived from inputs and output gradients.

Importing this package registers all rules.
"""

from __future__ import annotations

from plugins.statistics.layer_gradients.rules import (
    flow_layers,
    fused_glow,
    masked_layers,
    torch_layers,
    transformer_layers,
    weight_norm,
)

__all__ = [
    "flow_layers",
    "fused_glow",
    "masked_layers",
    "torch_layers",
    "transformer_layers",
    "weight_norm",
]
