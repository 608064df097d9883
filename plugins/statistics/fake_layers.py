"""Names of layers for made-up values, which scorers are examined with."""

from __future__ import annotations

FAKE_LAYERS = (
    *(f"levels.{level}.{part}" for level in (0, 1) for part in ("scale", "weight", "bias")),
    "top.bias",
)
"""Layers of a model with levels, so that scorers can choose layers by name."""
