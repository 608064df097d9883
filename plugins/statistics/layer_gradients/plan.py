"""Plans: the module and the method used to take each parameter's gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from torch import nn

from plugins.statistics.layer_gradients.graph import Candidates, ObjectiveModule
from plugins.statistics.layer_gradients.registry import FusedRule, Rule, find_fused_rule, find_rule

# A fused rule replaces the whole module; a rule reads the module's inputs and output gradients;
# "vmap" differentiates the module by automatic vectorisation, "loop" group by group.
Method = Literal["fused", "rule", "vmap", "loop"]
# Modules with a method: several modules share a parameter, and each has a rule.
Way: TypeAlias = tuple[tuple[str, ...], Method]


@dataclass(eq=False)
class Part:
    """A module of a unit: columns by name within the module, and the rule."""

    columns: dict[str, int] = field(default_factory=dict)
    rule: Rule | None = None  # for the method "rule"
    fused_rule: FusedRule | None = None  # for "fused"


@dataclass(eq=False)
class Unit:
    """A way to the gradients for some parameters: a module, or several that share parameters."""

    way: Way
    parts: dict[str, Part]  # by module
    expected: int = 0  # number of output gradients in a backward pass; 0 if unknown

    @property
    def method(self) -> Method:
        """The method."""
        return self.way[1]

    @property
    def module(self) -> str:
        """The first module; the only one unless modules share parameters."""
        return self.way[0][0]

    @property
    def columns(self) -> dict[str, int]:
        """Columns by name within the first module."""
        return self.parts[self.module].columns


@dataclass
class Plan:
    """Ways to take the gradient, the preferred way first, for every parameter in the graph.

    A plan holds names, never modules, so that the engine can keep plans without keeping models.

    Arguments:
        ways: By column, the usable ways.
        signature: Signature of the model planned for, see `signature`.
    """

    ways: dict[int, list[Way]]
    signature: object
    unverified: set[int] = field(default_factory=set)  # columns with a zero gradient so far
    copied: set[Way] = field(default_factory=set)  # units with copied inputs
    expand: bool = True  # outputs common to all examples are repeated for each example
    # By module and call, whether each input has the examples as rows; see `Replay`.
    batched: dict[tuple[str, int], tuple[bool, ...]] = field(default_factory=dict)
    calls: list[str] | None = None  # unit modules in call order
    _units: list[Unit] | None = None

    def units(self, wrapped: ObjectiveModule) -> list[Unit]:
        """Return the units for the preferred ways."""
        if self._units is None:
            self._units = self._make_units(wrapped)
        return self._units

    def start_again(self) -> None:
        """Forget observations from earlier passes, because the ways have changed."""
        self._units, self.calls, self.batched = None, None, {}

    def _make_units(self, wrapped: ObjectiveModule) -> list[Unit]:
        columns = {id(p): column for column, p in enumerate(wrapped.parameters())}
        preferred = dict.fromkeys(ways[0] for ways in self.ways.values())
        units = [Unit(way, {name: Part() for name in way[0]}) for way in preferred]
        for unit in units:
            for name, part in unit.parts.items():
                module = wrapped.get_submodule(name)
                for local, parameter in module.named_parameters():
                    column = columns[id(parameter)]
                    if column in self.ways and self.ways[column][0] == unit.way:
                        part.columns[local] = column
                if unit.method == "rule":
                    part.rule = find_rule(module, list(part.columns))
                elif unit.method == "fused":
                    part.fused_rule = find_fused_rule(module)
        return units

    def reject(self, columns: Iterable[int]) -> None:
        """Move these parameters on to the next way."""
        for column in columns:
            self.ways[column].pop(0)


def make_plan(wrapped: ObjectiveModule, candidates: Candidates) -> Plan:
    """Plan the ways allowed by the candidates for each parameter (see `graph`) and the rules."""
    return _plan(wrapped, candidates, dict(_fused_modules(wrapped, candidates)))


def plan_without_fused_rules(wrapped: ObjectiveModule, candidates: Candidates) -> Plan:
    """Plan without fused rules: fused rules give norms only, all other ways give gradients."""
    return _plan(wrapped, candidates, {})


def _plan(wrapped: ObjectiveModule, candidates: Candidates, taken: dict[str, str]) -> Plan:
    columns = {name: column for column, (name, _) in enumerate(wrapped.named_parameters())}
    ways: dict[int, list[Way]] = {}
    for name, alternatives in candidates.items():
        found: list[Way] = []
        if taken.get(name):
            found.append(((taken[name],), "fused"))
        for modules in alternatives:
            children = [wrapped.get_submodule(module) for module in modules]
            parameter = wrapped.get_parameter(name)
            if all(find_rule(child, [_local(child, parameter)]) for child in children):
                found.append((modules, "rule"))
            if len(modules) == 1:
                found += [(modules, "vmap"), (modules, "loop")]
        ways[columns[name]] = found
    return Plan(ways, signature(wrapped))


def signature(wrapped: ObjectiveModule) -> object:
    """Return everything a plan depends on: parameters, and every module's type, mode, hooks."""
    found: dict[int, tuple[object, ...]] = {}
    waiting: list[nn.Module | None] = [wrapped]
    while waiting:  # `wrapped.modules()` is several times slower, in every engine call
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


def _fused_modules(wrapped: ObjectiveModule, candidates: Candidates) -> Iterator[tuple[str, str]]:
    """Yield parameters, each with the outermost module replaceable by a fused rule."""
    names = {id(p): name for name, p in wrapped.named_parameters()}
    done: set[str] = set()
    for module_name, module in wrapped.named_modules():
        if find_fused_rule(module) is None:
            continue
        within = [names[id(p)] for p in module.parameters()]
        reached = [name for name in within if name in candidates]
        if all((module_name,) in candidates[name] and name not in done for name in reached):
            done.update(reached)
            yield from ((name, module_name) for name in reached)


def _local(module: nn.Module, parameter: nn.Parameter) -> str:
    """Return a parameter's name within a module containing the parameter."""
    return next(name for name, other in module.named_parameters() if other is parameter)
