"""Rules: how the gradients of a kind of module follow from its inputs and outputs.

Importing this package registers all of them.
"""

from __future__ import annotations

from plugins.statistics.layer_gradients.rules import flow_layers, fused_glow, torch_layers

__all__ = ["flow_layers", "fused_glow", "torch_layers"]
