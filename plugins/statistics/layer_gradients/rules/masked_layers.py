"""Rules for layers whose weight is masked."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from plugins.statistics.layer_gradients.norms import (
    Deferred,
    Outer,
    RuleGradient,
    masked_sq_norms,
)
from plugins.statistics.layer_gradients.registry import Call, layer_gradient_rule
from plugins.statistics.layer_gradients.rules.torch_layers import linear


@layer_gradient_rule("zuko.nn.MaskedLinear", parameters=("weight", "bias"))
def masked_linear(module: Any, call: Call) -> dict[str, RuleGradient]:
    """For y = x (mask * W)^T + b: dW = mask * sum delta x^T, db = sum delta."""
    gradients = linear(module, call)
    product = gradients["weight"]
    assert isinstance(product, Outer)

    def gradient() -> Tensor:
        return product.explicit() * module.mask

    norms = partial(masked_sq_norms, product.a, product.d, module.mask)
    return gradients | {"weight": Deferred(norms, gradient)}
