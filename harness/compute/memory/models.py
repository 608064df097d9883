"""Models in memory: modules with `log_prob`, and functions, adapted to the contract."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from harness.compute.checkpoints import tensor_bytes
from harness.compute.inputs import model_input, stored_tensor
from harness.contracts import DensityModel, Likelihood
from harness.domain import Domain, Examples
from harness.errors import BenchError, DataError, DomainError
from harness.store.hashing import digest
from harness.text import known_names

UNKNOWN: Likelihood = "unnormalized"
"""Likelihood of a model that does not declare one; bits per dimension are then undefined."""

PROBED = 8
"""Number of examples whose log-probabilities are part of the content of a model."""

DECLARED = ("domain", "likelihood")
"""Attributes of a function, or of a module without state, that its model has too."""


class FunctionModel(nn.Module):
    """A function x -> log p as a model without parameters.

    Arguments:
        function: Takes uint8, (N, *domain.shape); returns a tensor or array, (N,), in nats. It, or
            the object whose method it is, may have the attributes `domain` and `likelihood`.
    """

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("no_weights", torch.zeros(1))  # a file of weights has a tensor
        owner = getattr(function, "__self__", function)
        for name in DECLARED:
            if hasattr(owner, name):
                setattr(self, name, getattr(owner, name))

    def __deepcopy__(self, memo: object) -> FunctionModel:
        """Return another model with the same function."""
        return FunctionModel(self.function)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the values of the function."""
        values = self.function(x)
        return values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))


def as_model(name: str, given: Any) -> nn.Module:
    """Return a module with `log_prob`.

    Raises:
        BenchError: The object is neither a module with `log_prob` nor a function.
    """
    log_prob: Any = getattr(given, "log_prob", None)
    if isinstance(given, nn.Module) and callable(log_prob):
        return given if given.state_dict() else FunctionModel(log_prob)
    if isinstance(given, nn.Module) or not callable(given):
        raise BenchError(
            f"model {name!r}: expected a module with log_prob, or a function x -> log p, not "
            f"{type(given).__name__}"
        )
    return FunctionModel(given)


def adapted(name: str, module: nn.Module, domain: Domain) -> DensityModel:
    """Return a copy of a module that has a domain and a likelihood, in evaluation mode.

    Raises:
        DomainError: The module has another domain.
        BenchError: The module cannot be copied, or declares an unknown likelihood.
    """
    own = getattr(module, "domain", None)
    if isinstance(own, Domain) and own != domain:
        raise DomainError(f"model {name!r} is for {own}, but the images are {domain}")
    try:
        made: Any = copy.deepcopy(module)
    except Exception as error:
        raise BenchError(f"model {name!r} cannot be copied: {error}") from error
    for attribute, value in (("domain", domain), ("likelihood", UNKNOWN)):
        if not hasattr(made, attribute):
            setattr(made, attribute, value)
    if made.likelihood not in (kinds := get_args(Likelihood)):
        hint = known_names(str(made.likelihood), kinds)
        raise BenchError(f"model {name!r}: there is no likelihood {made.likelihood!r} ({hint})")
    found: DensityModel = made.eval()
    return found


def builder(name: str, module: nn.Module) -> Callable[[Domain], DensityModel]:
    """Return a function that copies a module for a domain, in place of a model plugin."""

    def build(domain: Domain) -> DensityModel:
        return adapted(name, module, domain)

    return build


def weights(name: str, module: nn.Module) -> tuple[bytes, str]:
    """Return the state of a module as a safetensors file, and the precision that holds it.

    Raises:
        BenchError: The state has values that are no tensors.
    """
    state = module.state_dict()
    for key, value in state.items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise BenchError(f"model {name!r}: {key} of its state is {kind}, not a tensor")
    is_double = any(value.dtype == torch.float64 for value in state.values())
    return tensor_bytes(state), "float64" if is_double else "float32"


def model_form(module: nn.Module) -> str:
    """Return the name of a model's class, or of a model's function."""
    if isinstance(module, FunctionModel):
        return getattr(module.function, "__qualname__", type(module.function).__qualname__)
    return type(module).__qualname__


def model_content(
    name: str,
    module: nn.Module,
    domain: Domain,
    examples: Examples,
    device: torch.device,
    precision: str,
) -> str:
    """Return a digest of everything but the state on which the values of a model depend.

    These are the kind of likelihood, the code of its classes or of its function, and, because
    code does not tell everything, the log-probabilities of a few examples.

    Arguments:
        name: Name in messages.
        module: Result of `as_model`.
        domain: Domain of the images.
        examples: Integers, (N, *domain.shape).
        device: Device for the evaluation.
        precision: Floating-point type of the parameters.

    Raises:
        BenchError: The model fails for the examples, or returns another shape.
    """
    model = adapted(name, module, domain).to(getattr(torch, precision)).to(device)
    x = model_input(stored_tensor(examples.copy()), domain).to(device)
    try:
        with torch.no_grad():
            values = model.log_prob(x)
    except Exception as error:
        raise BenchError(
            f"model {name!r}: log_prob fails for {x.dtype} of shape {tuple(x.shape)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if tuple(values.shape) != (len(x),):
        raise DataError(
            f"model {name!r}: log_prob for {len(x)} examples has shape {tuple(values.shape)}, "
            f"not ({len(x)},)"
        )
    codes = {repr(_codes(item)) for item in _definitions(module) if not _is_torch(item)}
    return digest([model.likelihood, sorted(codes), repr(values.double().tolist())])


def _definitions(module: nn.Module) -> Iterator[Any]:
    """Yield the objects with the code of a model: its function, or its parts and their classes."""
    if isinstance(module, FunctionModel):
        yield module.function
        return
    for part in module.modules():
        yield part  # functions may be set on an object
        yield from type(part).__mro__


def _is_torch(kind: Any) -> bool:
    return str(getattr(kind, "__module__", "")).partition(".")[0] == "torch"


def _codes(item: Any) -> list[Any]:
    """Return the code of a function, or of the functions in a class or module.

    The source would be that of the file as it is now, and of the first class with the name.
    """
    has_functions = inspect.isclass(item) or isinstance(item, nn.Module)
    inner = vars(item).values() if has_functions else [item]
    functions = (getattr(part, "fget", None) or getattr(part, "__func__", part) for part in inner)
    found = (getattr(function, "__code__", None) for function in functions)
    return [_described(code) for code in found if code is not None]


def _described(code: CodeType) -> list[Any]:
    return [code.co_name, code.co_code.hex(), code.co_names, [*map(_constant, code.co_consts)]]


def _constant(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(map(_constant, value), key=repr)  # its order differs between processes
    return _described(value) if isinstance(value, CodeType) else repr(value)
