"""Networks in bfloat16, by `torch.autocast`: in training, and in every method of a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from harness.contracts import FULL, DensityModel
from harness.suite import Recipe


def bfloat16_networks(device: torch.device) -> torch.autocast:
    """Return a context in which products and convolutions round their inputs to bfloat16.

    Sums inside of products are in float32. What a model computes outside of its networks must stay
    in float32, see `DensityModel`. Rounded weights are not kept for the next product: a copy made
    without a graph would be taken where one is needed.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)


class OnlyProductsRounded(TorchFunctionMode):
    """Within `bfloat16_networks`, a context in which products return float32.

    The values of products are still rounded to bfloat16, but nothing computed from them is. The
    conformance kit finds rounding outside of products with it.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if type(result) is tuple:  # of a recurrent layer
            return tuple(_in_float32(value) for value in result)
        return _in_float32(result)


def networks_in(recipe: Recipe, device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which networks compute in the precision of a recipe."""
    return bfloat16_networks(device) if recipe.precision == "bfloat16" else nullcontext()


def in_bfloat16(model: DensityModel) -> DensityModel:
    """Let every public method of a model compute as in `bfloat16_networks`; return the model.

    What surrounds the methods, like a backward pass or a statistic, stays in float32. The class of
    the model is replaced by a subclass of the same name; `full_precision` undoes that for a while.
    """
    kind = type(model)
    methods = {name: _rounded(method) for name, method in _public_methods(kind)}
    model.__class__ = type(
        kind.__name__, (kind,), {FULL: kind, "__doc__": kind.__doc__, **methods}
    )
    return model


def _public_methods(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public methods that a model adds to the methods of every torch module."""
    for name in dir(kind):
        method = inspect.getattr_static(kind, name)
        is_own = not name.startswith("_") and not hasattr(nn.Module, name)
        if is_own and inspect.isfunction(method):
            yield name, method


def _rounded(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def rounded(model: DensityModel, *args: Any, **keywords: Any) -> Any:
        _, parameter = next(iter(model.named_parameters()))
        with bfloat16_networks(parameter.device):
            return method(model, *args, **keywords)

    return rounded


def _in_float32(value: Any) -> Any:
    """Convert a tensor in bfloat16 to float32; other values are returned unchanged."""
    is_rounded = isinstance(value, Tensor) and value.dtype == torch.bfloat16
    return value.float() if is_rounded else value
