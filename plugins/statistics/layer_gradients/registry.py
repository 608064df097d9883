"""Rules: how the gradients of a module's parameters follow from one call of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from plugins.models.altered import is_altered
from plugins.statistics.layer_gradients.norms import GroupGradient


class Misaligned(Exception):
    """The rows of a tensor are not the examples, one block after the other."""


@dataclass
class Call:
    """One call of a module on M groups of b examples, all in one batch.

    `outputs` are the tensors that the call returned, in order, where the rule asked for them, and
    `deltas` the gradients of the summed objective with respect to them.
    """

    groups: int
    inputs: tuple[Any, ...]
    keywords: Mapping[str, Any]
    outputs: list[Tensor] = field(default_factory=list)  # without a graph
    deltas: list[Tensor | None] = field(default_factory=list)
    shapes: list[torch.Size] = field(default_factory=list)  # of the deltas
    versions: list[tuple[Tensor, int]] = field(default_factory=list)  # of what it holds

    def delta(self, index: int = 0) -> Tensor:
        """Gradient with respect to an output, of its shape; zero if the density ignores it."""
        delta = self.deltas[index]
        if delta is None:
            some = next(delta for delta in self.deltas if delta is not None)
            delta = some.new_zeros(()).expand(self.shapes[index])
        return delta

    def grouped(self, tensor: Tensor) -> Tensor:
        """Rows by group: (M b r, ...) to (M, b r, ...).

        Raises:
            Misaligned: The number of rows is no multiple of M.
        """
        if tensor.dim() == 0 or tensor.shape[0] % self.groups:
            raise Misaligned(f"{tuple(tensor.shape)} rows of {self.groups} groups")
        return tensor.reshape(self.groups, tensor.shape[0] // self.groups, *tensor.shape[1:])


RuleFunction: TypeAlias = Callable[[Any, Call], Mapping[str, GroupGradient]]
AnyRule = TypeVar("AnyRule", bound=RuleFunction)


@dataclass(frozen=True)
class Rule:
    """A registered rule: what it covers and needs."""

    function: RuleFunction
    parameters: frozenset[str]
    outputs: bool
    when: Callable[[Any], bool]


_RULES: dict[type[nn.Module], Rule] = {}


def layer_gradient_rule(
    *modules: type[nn.Module],
    parameters: Iterable[str],
    outputs: bool = False,
    when: Callable[[Any], bool] = lambda module: True,
) -> Callable[[AnyRule], AnyRule]:
    """Register how the parameter gradients of a kind of module follow from one call of it.

    Without a rule a module is differentiated by automatic vectorisation, which is exact and
    slower. A rule is a function of the module and a `Call`. It returns, for each parameter by its
    name within the module, the gradient of the summed objective for each group: explicit,
    (M, *shape of the parameter), or as an `Outer` product. It is called without a graph; several
    calls of one module are added up by the engine. Whatever a rule says is compared with autograd
    on a few examples before it is used on a model; where it disagrees, the model goes without it.

        @layer_gradient_rule(Scale, parameters=["weight"])
        def scale(module, call):  # y = x * weight, of shape (N, D)
            return {"weight": call.grouped(call.inputs[0] * call.delta()).sum(1)}

    It serves the modules of exactly this forward: not a subclass that overrides it.

    Arguments:
        modules: Types of modules.
        parameters: Names of the parameters it gives the gradients of, as in `named_parameters`.
        outputs: Whether it reads `call.outputs`, which are otherwise not kept.
        when: Whether it holds for a given module.
    """

    def register(function: AnyRule) -> AnyRule:
        for module in modules:
            _RULES[module] = Rule(function, frozenset(parameters), outputs, when)
        return function

    return register


def find_rule(module: nn.Module, names: Sequence[str]) -> Rule | None:
    """The rule for these parameters of the module; None if there is none that holds."""
    if is_altered(module):
        return None
    for kind in type(module).__mro__:
        rule = _RULES.get(kind)
        if rule is not None:
            unchanged = type(module).forward is kind.forward
            covered = rule.parameters.issuperset(names)
            return rule if unchanged and covered and rule.when(module) else None
    return None


@dataclass(frozen=True)
class BackwardPass:
    """What a fused rule is told of the pass that it takes part in.

    `anchor` requires a gradient: an output that depends on it is part of the graph. During the
    backward pass `report` takes the squared norms of parameters, named within the module, float64,
    (len(names), M).
    """

    groups: int
    anchor: Tensor
    report: Callable[[Sequence[str], Tensor], None]


FusedRule: TypeAlias = Callable[..., Any]
_FUSED_RULES: dict[type[nn.Module], tuple[FusedRule, Callable[[Any], bool]]] = {}


def layer_gradient_fused_rule(
    module: type[nn.Module], *, when: Callable[[Any], bool]
) -> Callable[[FusedRule], FusedRule]:
    """Register a function that does the work of a whole module, with all that it holds.

    It is called as `function(module, pass, *args)` in place of `module.forward(*args)` and reports
    the norms of every parameter of the module in the backward pass. It is verified like a rule.
    """

    def register(function: FusedRule) -> FusedRule:
        _FUSED_RULES[module] = function, when
        return function

    return register


def find_fused_rule(module: nn.Module) -> FusedRule | None:
    """The fused rule of exactly this type, unless the module or one within it was altered."""
    function, when = _FUSED_RULES.get(type(module), (None, None))
    if function is None or when is None or any(is_altered(m) for m in module.modules()):
        return None
    return function if when(module) else None
