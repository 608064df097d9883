"""Rules: deriving the gradients for a module's parameters from a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from plugins.models.altered import is_altered
from plugins.statistics.layer_gradients.norms import RuleGradient


class Misaligned(Exception):
    """The rows in a tensor are not the examples, block by block."""


@dataclass
class Call:
    """A module call on M groups with b examples each, all in a single batch.

    `outputs` are the tensors returned by the call, in order, kept only if the rule reads outputs;
    `deltas` are the gradients of the summed objective with respect to the outputs.
    """

    groups: int
    inputs: tuple[Any, ...]
    keywords: Mapping[str, Any]
    outputs: list[Tensor] = field(default_factory=list)  # detached
    deltas: list[Tensor | None] = field(default_factory=list)
    shapes: list[torch.Size] = field(default_factory=list)  # of the deltas
    # Version counters of the tensors above at the call, to detect later writes into them.
    versions: list[tuple[Tensor, int]] = field(default_factory=list)

    def delta(self, index: int = 0) -> Tensor:
        """Return the gradient with respect to an output; zeros if the density ignores it."""
        delta = self.deltas[index]
        if delta is None:
            some = next(delta for delta in self.deltas if delta is not None)
            delta = some.new_zeros(()).expand(self.shapes[index])
        return delta

    def widen(self) -> None:
        """Convert what networks in bfloat16 returned to float32, for rules to compute with."""
        self.inputs = tuple(_widened(value) for value in self.inputs)
        self.keywords = {name: _widened(value) for name, value in self.keywords.items()}
        self.outputs = [_widened(output) for output in self.outputs]
        self.deltas = [_widened(delta) for delta in self.deltas]

    def grouped(self, tensor: Tensor) -> Tensor:
        """Split rows by group: (M b r, ...) to (M, b r, ...).

        Raises:
            Misaligned: The number of rows is not a multiple of M.
        """
        if tensor.dim() == 0 or tensor.shape[0] % self.groups:
            raise Misaligned(f"cannot split {tuple(tensor.shape)} into {self.groups} groups")
        return tensor.reshape(self.groups, tensor.shape[0] // self.groups, *tensor.shape[1:])


def _widened(value: Any) -> Any:
    """Convert bfloat16 tensors, also within containers, to float32."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype == torch.bfloat16 else value
    if value is None or isinstance(value, int | float | str):
        return value  # the tree functions would take long
    return tree_map_only(Tensor, _widened, value)


RuleFunction: TypeAlias = Callable[[Any, Call], Mapping[str, RuleGradient]]
AnyRule = TypeVar("AnyRule", bound=RuleFunction)


@dataclass(frozen=True)
class Rule:
    """A registered rule with the parameters covered and the data needed."""

    function: RuleFunction
    parameters: frozenset[str]
    outputs: bool
    when: Callable[[Any], bool]


_RULES: dict[type[nn.Module] | str, list[Rule]] = {}


def layer_gradient_rule(
    *modules: type[nn.Module] | str,
    parameters: Iterable[str],
    outputs: bool = False,
    when: Callable[[Any], bool] = lambda module: True,
) -> Callable[[AnyRule], AnyRule]:
    """Register a rule deriving parameter gradients for a type of module from a call.

    Without a rule, a module is differentiated by automatic vectorisation: exact, but slower. A
    rule is a function taking the module and a `Call`. The rule returns, by parameter name within
    the module, the gradient of the summed objective for each group: explicit,
    (M, *parameter.shape), as an `Outer` product, or `Deferred`. Rules run without a graph; if a
    module is called several times, the engine adds up the gradients. Every rule is compared with
    autograd on a few examples before use on a model; a rule that disagrees is not used for that
    model.

        @layer_gradient_rule(Scale, parameters=["weight"])
        def scale(module, call):  # y = x * weight, of shape (N, D)
            return {"weight": call.grouped(call.inputs[0] * call.delta()).sum(1)}

    The rule applies to modules with exactly this `forward`: not to a subclass overriding it.

    Arguments:
        modules: Module types; the dotted name of a type in place of the type itself does not need
            the library.
        parameters: Names of the parameters covered, as in `named_parameters`.
        outputs: Whether the rule reads `call.outputs`; outputs are kept only if so.
        when: Whether the rule holds for a given module.
    """

    def register(function: AnyRule) -> AnyRule:
        for module in modules:
            rule = Rule(function, frozenset(parameters), outputs, when)
            _RULES.setdefault(module, []).append(rule)
        return function

    return register


def find_rule(module: nn.Module, names: Sequence[str]) -> Rule | None:
    """Return a rule covering these parameters of the module; None if no rule holds."""
    if is_altered(module):
        return None
    for kind in type(module).__mro__:
        rules = _RULES.get(kind) or _RULES.get(f"{kind.__module__}.{kind.__qualname__}")
        if rules is not None:
            if type(module).forward is not kind.forward:
                return None
            fits = (rule for rule in rules if rule.parameters.issuperset(names))
            return next((rule for rule in fits if rule.when(module)), None)
    return None


@dataclass(frozen=True)
class BackwardPass:
    """Information about the current pass, for a fused rule.

    `anchor` requires a gradient: any output depending on `anchor` is part of the graph. During
    the backward pass, `report` takes squared norms for parameters named within the module,
    float64, (len(names), M).
    """

    groups: int
    anchor: Tensor
    report: Callable[[Sequence[str], Tensor], None]


FusedRule: TypeAlias = Callable[..., Any]
_FUSED_RULES: dict[type[nn.Module], tuple[FusedRule, Callable[[Any], bool]]] = {}


def layer_gradient_fused_rule(
    module: type[nn.Module], *, when: Callable[[Any], bool]
) -> Callable[[FusedRule], FusedRule]:
    """Register a function replacing a whole module, including all submodules.

    The function is called as `function(module, pass, *args)` in place of `module.forward(*args)`,
    and reports the norms for every parameter in the module during the backward pass. A fused rule
    is verified like any other rule.
    """

    def register(function: FusedRule) -> FusedRule:
        _FUSED_RULES[module] = function, when
        return function

    return register


def find_fused_rule(module: nn.Module) -> FusedRule | None:
    """Return the fused rule for exactly this type; None if any module inside was altered."""
    function, when = _FUSED_RULES.get(type(module), (None, None))
    if function is None or when is None or any(is_altered(m) for m in module.modules()):
        return None
    return function if when(module) else None
