"""Where each parameter's gradient is taken: a choice of module and of how it is done there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from plugins.statistics.layer_gradients.graph import ObjectiveModule
from plugins.statistics.layer_gradients.registry import FusedRule, Rule, find_fused_rule, find_rule

# A fused rule computes the whole module in a way of its own; a rule reads its inputs and the
# gradients of its outputs; "vmap" differentiates the module by automatic vectorisation, and
# "loop" one group after the other.
Method = Literal["fused", "rule", "vmap", "loop"]


@dataclass(eq=False)
class Unit:
    """A module that gives the gradients of some parameters, named within it, by column."""

    module: str
    method: Method
    columns: dict[str, int] = field(default_factory=dict)
    expected: int = 0  # gradients of outputs that arrive in a backward pass; 0 if not known
    rule: Rule | None = None  # of a "rule"
    fused_rule: FusedRule | None = None  # of a "fused"


@dataclass
class Plan:
    """Ways for every parameter that is reached, the preferred first; names only.

    Arguments:
        ways: By column, the modules and how they would be used.
        signature: Of the model that it was made for, see `signature`.
    """

    ways: dict[int, list[tuple[str, Method]]]
    signature: object
    unverified: set[int] = field(default_factory=set)  # columns that verification saw as zero
    copied: set[tuple[str, Method]] = field(default_factory=set)  # units whose inputs are copied
    expand: bool = True  # scalars that a module returns become one number per example
    batched: dict[tuple[str, int], tuple[bool, ...]] = field(default_factory=dict)
    calls: list[str] | None = None  # the modules of the units in the order they are called
    _units: list[Unit] | None = None

    def units(self, wrapped: ObjectiveModule) -> list[Unit]:
        """The units of the preferred ways."""
        if self._units is None:
            self._units = self._make_units(wrapped)
        return self._units

    def start_again(self) -> None:
        """Forget what was seen of a pass, because the ways have changed."""
        self._units, self.calls, self.batched = None, None, {}

    def _make_units(self, wrapped: ObjectiveModule) -> list[Unit]:
        columns = {id(p): column for column, p in enumerate(wrapped.parameters())}
        units = {ways[0]: Unit(*ways[0]) for ways in self.ways.values()}
        for (name, method), unit in units.items():
            module = wrapped.get_submodule(name)
            for local, parameter in module.named_parameters():
                column = columns[id(parameter)]
                if column in self.ways and self.ways[column][0] == (name, method):
                    unit.columns[local] = column
            if method == "rule":
                unit.rule = find_rule(module, list(unit.columns))
            elif method == "fused":
                unit.fused_rule = find_fused_rule(module)
        return list(units.values())

    def reject(self, columns: Iterable[int]) -> None:
        """Go on to the next way of these parameters."""
        for column in columns:
            self.ways[column].pop(0)


def make_plan(wrapped: ObjectiveModule, candidates: dict[str, list[str]]) -> Plan:
    """The ways that the candidates of each parameter (see `graph`) and the rules allow."""
    return _plan(wrapped, candidates, dict(_fused_modules(wrapped, candidates)))


def plan_without_fused_rules(wrapped: ObjectiveModule, candidates: dict[str, list[str]]) -> Plan:
    """The same but for fused rules, which give norms; all other ways give the gradients."""
    return _plan(wrapped, candidates, {})


def _plan(
    wrapped: ObjectiveModule, candidates: dict[str, list[str]], taken: dict[str, str]
) -> Plan:
    columns = {name: column for column, (name, _) in enumerate(wrapped.named_parameters())}
    ways: dict[int, list[tuple[str, Method]]] = {}
    for name, modules in candidates.items():
        found: list[tuple[str, Method]] = []
        if taken.get(name):
            found.append((taken[name], "fused"))
        for module in modules:
            child = wrapped.get_submodule(module)
            if find_rule(child, [_local(child, wrapped.get_parameter(name))]):
                found.append((module, "rule"))
            found += [(module, "vmap"), (module, "loop")]
        ways[columns[name]] = found
    return Plan(ways, signature(wrapped))


def signature(wrapped: ObjectiveModule) -> object:
    """What a plan depends on: the parameters, and type, mode and hooks of every module."""
    found: dict[int, tuple[object, ...]] = {}
    waiting: list[nn.Module | None] = [wrapped]
    while waiting:  # `wrapped.modules()` takes several times as long, in every call of the engine
        module = waiting.pop()
        if module is None or id(module) in found:
            continue
        found[id(module)] = (
            type(module),
            module.training,
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            len(module._backward_hooks),
            len(module._backward_pre_hooks),
            len(vars(module)),
            tuple(module._modules),
            tuple((name, id(p)) for name, p in module._parameters.items()),
        )
        waiting += module._modules.values()
    return tuple(found.values())


def _fused_modules(
    wrapped: ObjectiveModule, candidates: dict[str, list[str]]
) -> Iterator[tuple[str, str]]:
    """Parameters and the outermost module that may be taken over, with all that it holds."""
    names = {id(p): name for name, p in wrapped.named_parameters()}
    done: set[str] = set()
    for module_name, module in wrapped.named_modules():
        if find_fused_rule(module) is None:
            continue
        within = [names[id(p)] for p in module.parameters()]
        reached = [name for name in within if name in candidates]
        if all(module_name in candidates[name] and name not in done for name in reached):
            done.update(reached)
            yield from ((name, module_name) for name in reached)


def _local(module: nn.Module, parameter: nn.Parameter) -> str:
    """A parameter's name within a module that holds it."""
    return next(name for name, other in module.named_parameters() if other is parameter)
