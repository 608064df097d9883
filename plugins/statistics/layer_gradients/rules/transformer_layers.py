"""Rules for layers of transformers other than linear layers, embeddings and LayerNorm."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from plugins.statistics.layer_gradients.norms import Deferred, GroupGradient, Outer, RuleGradient
from plugins.statistics.layer_gradients.registry import Call, Misaligned, layer_gradient_rule
from plugins.statistics.layer_gradients.rules.torch_layers import linear, summed_to

RMS_NORMS = (
    "transformers.models.llama.modeling_llama.LlamaRMSNorm",
    "transformers.models.mistral.modeling_mistral.MistralRMSNorm",
    "transformers.models.olmo2.modeling_olmo2.Olmo2RMSNorm",
    "transformers.models.qwen2.modeling_qwen2.Qwen2RMSNorm",
    "transformers.models.qwen3.modeling_qwen3.Qwen3RMSNorm",
    "transformers.models.smollm3.modeling_smollm3.SmolLM3RMSNorm",
)
"""Classes of transformers with y = weight n(x); further ones are differentiated by `vmap`."""


@layer_gradient_rule(nn.RMSNorm, *RMS_NORMS, parameters=("weight",))
def rms_norm(module: nn.Module, call: Call) -> dict[str, GroupGradient]:
    """For y = weight n(x): dweight = sum delta n(x), with n(x) as the module itself rounds it."""
    weight = module.get_parameter("weight")
    x, ones = call.inputs[0], torch.ones_like(weight)
    normalised = functional_call(module, {"weight": ones}, (x,))
    return {"weight": summed_to(call.grouped(call.delta() * normalised), weight.shape)}


@layer_gradient_rule("transformers.pytorch_utils.Conv1D", parameters=("weight", "bias"))
def transposed_linear(module: Any, call: Call) -> dict[str, GroupGradient]:
    """For y = x W + b, a linear layer with the transposed weight: dW = sum x delta^T."""
    gradients = linear(module, call)
    product = gradients["weight"]
    assert isinstance(product, Outer)
    return gradients | {"weight": Outer(product.d, product.a)}


@layer_gradient_rule(
    nn.MultiheadAttention,
    parameters=(
        *("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias"),
        *("out_proj.weight", "out_proj.bias"),
    ),
    when=lambda module: module.bias_k is None and not (module.training and module.dropout),
)
def attention(module: nn.MultiheadAttention, call: Call) -> dict[str, RuleGradient]:
    """For three projections, attention without parameters, and a linear layer.

    The module computes all three in a single function. So the projections are computed again, and
    attention is differentiated with respect to these.
    """
    arguments = inspect.signature(module.forward).bind(*call.inputs, **call.keywords).arguments
    inputs = [_batch_first(module, arguments.pop(name)) for name in ("query", "key", "value")]
    delta = _batch_first(module, call.delta())
    weights, biases = _projections(module)
    projected = [
        F.linear(x, weight, bias).requires_grad_()
        for x, weight, bias in zip(inputs, weights, biases, strict=True)
    ]
    with torch.enable_grad():
        attended, shares = _attend(module, projected, arguments)
    back = [(attended, delta @ module.out_proj.weight)]
    if len(call.deltas) == 2 and call.deltas[1] is not None:
        back.append((shares, call.deltas[1]))
    deltas = torch.autograd.grad([y for y, _ in back], projected, [d for _, d in back])
    products = [_product(call, x, d) for x, d in zip(inputs, deltas, strict=True)]
    last = _product(call, attended.detach(), delta)
    gradients: dict[str, RuleGradient] = {
        "out_proj.weight": last,
        "out_proj.bias": last.d.sum(1),
        "in_proj_bias": torch.cat([product.d.sum(1) for product in products], 1),
        "in_proj_weight": _stacked(products),
    }
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    return gradients | dict(zip(names, products, strict=True))


def _batch_first(module: nn.MultiheadAttention, x: Tensor) -> Tensor:
    """Return (N, T, E), whatever the order of the module."""
    if x.dim() != 3:
        raise Misaligned("attention has a single example as input, without a batch")
    return x if module.batch_first else x.transpose(0, 1)


def _projections(module: nn.MultiheadAttention) -> tuple[list[Tensor], list[Tensor | None]]:
    """Return weights and biases of the projections to queries, keys and values."""
    if module.in_proj_weight is not None:
        weights = list(module.in_proj_weight.chunk(3))
    else:
        weights = [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
    bias = module.in_proj_bias
    return weights, [None] * 3 if bias is None else list(bias.chunk(3))


def _attend(
    module: nn.MultiheadAttention, projected: list[Tensor], arguments: Mapping[str, Any]
) -> tuple[Tensor, Tensor | None]:
    """Attend without parameters: (N, T, E), and the shares of attention where these are asked for.

    torch's function serves every mask; identities take the place of the parameters.
    """
    size = module.embed_dim
    identity = torch.eye(size, dtype=projected[0].dtype, device=projected[0].device)
    attended, shares = F.multi_head_attention_forward(
        *[x.transpose(0, 1) for x in projected],
        *(size, module.num_heads, None, None, None, None, module.add_zero_attn, 0.0),
        *(identity, None),
        use_separate_proj_weight=True,
        **dict.fromkeys(("q_proj_weight", "k_proj_weight", "v_proj_weight"), identity),
        **arguments,
    )
    return attended.transpose(0, 1), shares


def _product(call: Call, x: Tensor, delta: Tensor) -> Outer:
    return Outer(call.grouped(x).flatten(1, 2), call.grouped(delta).flatten(1, 2))


def _stacked(products: list[Outer]) -> Deferred:
    """Join the rows of several products along a new axis of positions."""
    return Deferred(
        lambda: torch.stack([product.sq_norms() for product in products]).sum(0),
        lambda: torch.cat([product.explicit() for product in products], 1),
    )
