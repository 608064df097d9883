"""Modules able to give a parameter's gradient, found in the graph for a forward pass."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from oodbench import DensityModel
from plugins.statistics.layer_gradients.objectives import Objective, log_prob

# By parameter: modules able to give the gradient, alone or together, the preferred ones first.
Candidates: TypeAlias = dict[str, list[tuple[str, ...]]]


class Untraceable(Exception):
    """The model cannot be followed in batches; the loop still works."""


class ObjectiveModule(nn.Module):
    """Wrapper with an objective as `forward`; in `named_modules` the name is the empty string."""

    def __init__(self, model: DensityModel, objective: Objective = log_prob) -> None:
        super().__init__()
        self.model, self._objective = model, objective

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the objective for each example, floating, (N,), from uint8 x."""
        return self._objective(self.model, x)


@dataclass
class _Call:
    """A module call; autograd nodes created during the call have numbers in [start, end)."""

    module: str
    parent: _Call | None
    start: int
    end: float = float("inf")
    outputs: set[tuple[Any, int]] = field(default_factory=set)

    def chain(self) -> Iterator[_Call]:
        """Yield this call and the enclosing calls, the innermost first."""
        call: _Call | None = self
        while call is not None:
            yield call
            call = call.parent


def candidates(wrapped: ObjectiveModule, x: Tensor) -> tuple[Tensor, Candidates]:
    """Return the objective, with a graph, and the candidate modules for each parameter.

    A module is a candidate for a parameter if every use of the parameter is inside some call of
    the module, and all values computed inside leave the call as outputs. The gradient then
    follows from the inputs and the output gradients alone. The innermost candidate comes first;
    the last is the whole model, "". Before these come the modules that share a parameter, where
    each use is inside a call of one of them, as for an embedding tied to the last layer: the
    gradient is then the sum of theirs. A parameter without influence on the objective is left out.

    Autograd numbers the nodes in order of creation, so the numbers at the start and at the end of
    a call identify the nodes belonging to the call.

    Arguments:
        wrapped: Wrapped model; the parameters require a gradient.
        x: uint8, (N, *shape).

    Raises:
        Untraceable: The model differentiates within its forward pass.
    """
    with _recorded_calls(wrapped) as calls:
        values = wrapped(x)
    if values.grad_fn is None:
        return values, {}
    return values, _Graph(wrapped, calls).candidates(values.grad_fn)


@contextmanager
def _recorded_calls(wrapped: ObjectiveModule) -> Iterator[list[_Call]]:
    """Record the calls of all modules, ordered by start."""
    calls: list[_Call] = []
    stack: list[_Call] = []
    probe = torch.ones((), requires_grad=True)
    backward_passes: list[Tensor] = []

    def now() -> int:
        # Autograd does not expose the counter, so a fresh node is made to read the number.
        with torch.enable_grad():
            return int((probe * 1).grad_fn._sequence_nr())  # type: ignore[union-attr]

    with ExitStack() as hooks:

        def watch(name: str, module: nn.Module) -> None:
            def start(module: nn.Module, args: Any) -> None:
                calls.append(_Call(name, stack[-1] if stack else None, now()))
                stack.append(calls[-1])

            def end(module: nn.Module, args: Any, output: Any) -> None:
                call = stack.pop()
                call.end = now()
                for tensor in tree_leaves(output):
                    if isinstance(tensor, Tensor) and tensor.grad_fn is not None:
                        call.outputs.add((tensor.grad_fn, tensor.output_nr))
                        handle = tensor.register_hook(backward_passes.append)
                        hooks.callback(handle.remove)

            hooks.callback(module.register_forward_pre_hook(start, prepend=True).remove)
            hooks.callback(module.register_forward_hook(end).remove)

        for name, module in wrapped.named_modules():
            watch(name, module)
        yield calls
        if backward_passes:
            raise Untraceable("the model differentiates within the forward pass")


class _Graph:
    """The graph behind an objective, related to the module calls."""

    def __init__(self, wrapped: ObjectiveModule, calls: list[_Call]) -> None:
        self._names = {id(p): name for name, p in wrapped.named_parameters()}
        self._owners = _owners(wrapped)
        self._calls = calls
        self._leaky: set[str] = set()  # modules left by a value other than as an output
        self._uses: dict[str, list[_Call]] = {}

    def candidates(self, root: Any) -> Candidates:
        """Walk the graph from the root; see the function `candidates`."""
        seen, open_nodes = {root}, [root]
        while open_nodes:
            node = open_nodes.pop()
            call = self._innermost(node)
            for source, index in node.next_functions:
                if source is None:
                    continue
                if hasattr(source, "variable"):
                    name = self._names.get(id(source.variable))
                    if name is not None:
                        self._uses.setdefault(name, []).append(call)
                    continue
                self._cross(call, source, index)
                if source not in seen:
                    seen.add(source)
                    open_nodes.append(source)
        return {
            name: self._sharing(name, uses) + self._common(name, uses)
            for name, uses in self._uses.items()
        }

    def _innermost(self, node: Any) -> _Call:
        """Return the innermost call during which a node was created."""
        number = node._sequence_nr()
        later = bisect_left(self._calls, number, key=lambda call: call.start)
        last = self._calls[max(0, later - 1)]  # the last call to start before the node
        return next(call for call in last.chain() if number < call.end)

    def _cross(self, consumer: _Call, source: Any, index: int) -> None:
        """Note the calls left by a value that is not an output of the call."""
        around = {id(call) for call in consumer.chain()}
        for call in self._innermost(source).chain():
            if id(call) in around:
                return
            if (source, index) not in call.outputs:
                self._leaky.add(call.module)

    def _common(self, name: str, uses: list[_Call]) -> list[tuple[str, ...]]:
        """Return the modules containing a parameter and all uses, the innermost first."""
        chains = [self._able(name, use) for use in uses]
        return [(module,) for module in chains[0] if all(module in chain for chain in chains)]

    def _sharing(self, name: str, uses: list[_Call]) -> list[tuple[str, ...]]:
        """Return the innermost modules around the uses, if these are several; else nothing."""
        innermost = dict.fromkeys(self._able(name, use)[0] for use in uses)
        return [tuple(innermost)] if len(innermost) > 1 else []

    def _able(self, name: str, use: _Call) -> list[str]:
        """Return the modules around a use able to give its part of the gradient."""
        chain = [call.module for call in use.chain()]
        return [
            module
            for module in chain
            if module in self._owners[name]
            and module not in self._leaky
            and chain.count(module) == 1
        ]


def _owners(wrapped: ObjectiveModule) -> dict[str, set[str]]:
    """Return, by parameter name, the modules with the parameter inside, directly or in a child."""
    names = {id(p): name for name, p in wrapped.named_parameters()}
    owners: dict[str, set[str]] = {name: set() for name in names.values()}
    for module_name, module in wrapped.named_modules():
        for parameter in module.parameters():
            owners[names[id(parameter)]].add(module_name)
    return owners
