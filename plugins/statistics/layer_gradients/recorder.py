"""One forward and one backward pass that hand every unit what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from plugins.statistics.layer_gradients.graph import ObjectiveModule, Untraceable
from plugins.statistics.layer_gradients.norms import NormTable, total
from plugins.statistics.layer_gradients.plan import Plan, Unit
from plugins.statistics.layer_gradients.registry import BackwardPass, Call
from plugins.statistics.layer_gradients.vmap import Replay, looped, vectorised


class Modified(Exception):
    """What a unit was given has been written into since."""


class Recorder:
    """The calls of all units in one pass over M groups, and the norms that follow from them.

    Arguments:
        wrapped: The model; its parameters require no gradient.
        plan: Where and how.
        table: Of M groups; where the norms go, or whatever it measures.
        failures: Takes by column what goes wrong with a unit, which is raised if this is None.
    """

    def __init__(
        self,
        wrapped: ObjectiveModule,
        plan: Plan,
        table: NormTable,
        failures: dict[int, Exception] | None = None,
    ) -> None:
        self.wrapped, self.plan, self.table = wrapped, plan, table
        self.units = plan.units(wrapped)
        self.called: list[str] = []
        self._rows = 0
        self._failures = failures
        self._calls: dict[Unit, list[Call]] = {unit: [] for unit in self.units}
        self._arrived = dict.fromkeys(self.units, 0)
        self._leaves: list[Tensor] = []  # what the backward pass goes back to
        self._state = "idle"

    def run(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """The objective of x, uint8, (N, *shape); the norms are then in the table.

        Arguments:
            x: The examples of the groups, one after the other.
            weights: Of the examples in the sum that is differentiated; (N,), else 1.

        Raises:
            Untraceable: The modules are not called as the plan says.
        """
        self._rows = len(x)
        inner = any(unit.module for unit in self.units)
        with self._hooks(), torch.enable_grad():
            values = self._forward(x) if inner else x.new_zeros(len(x), dtype=torch.double)
            if inner and values.requires_grad and self._leaves:
                self._state = "backward"
                ones = torch.ones_like(values)
                given = ones if weights is None else weights.to(values)
                torch.autograd.grad(values, self._leaves, given, allow_unused=True)
                self._state = "idle"
        with torch.no_grad():
            for unit in self.units:
                self._finish_rest(unit, x, weights)
        return values.detach()

    def note_arrivals(self) -> None:
        """Let the units expect as many gradients of outputs as there were in this pass."""
        for unit in self.units:
            if unit.method == "rule":
                unit.expected = self._arrived[unit]

    def _forward(self, x: Tensor) -> Tensor:
        self._state = "forward"
        values = self.wrapped(x)
        self._state = "idle"
        if self.plan.calls is not None and self.called != self.plan.calls:
            raise Untraceable("it calls its modules in another order for other examples")
        return values

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        """Within it calls are recorded; afterwards the modules are as they were."""
        # No parameter requires a gradient. A fused module has one input that does, so that
        # autograd calls its backward pass.
        anchor = torch.zeros((), requires_grad=True)
        with ExitStack() as stack:
            for unit in self.units:
                module = self.wrapped.get_submodule(unit.module)
                if unit.method == "fused":
                    self._leaves.append(anchor)
                    stack.enter_context(self._fused(module, unit, anchor))
                elif unit.module:
                    hook = partial(self._after, unit)
                    stack.callback(module.register_forward_hook(hook, with_kwargs=True).remove)
            yield

    @contextmanager
    def _fused(self, module: nn.Module, unit: Unit, anchor: Tensor) -> Iterator[None]:
        fused_rule = unit.fused_rule
        assert fused_rule is not None

        def report(names: Sequence[str], norms: Tensor) -> None:
            wanted = [k for k, name in enumerate(names) if name in unit.columns]
            columns = [unit.columns[names[k]] for k in wanted]
            self.table.add_norms(columns, norms if len(wanted) == len(names) else norms[wanted])

        def forward(*args: Any) -> Any:
            self.called.append(unit.module)
            return fused_rule(module, BackwardPass(self.table.groups, anchor, report), *args)

        module.forward = forward
        try:
            yield
        finally:
            del module.forward

    def _after(self, unit: Unit, module: nn.Module, args: Any, keywords: Any, output: Any) -> Any:
        """Forward hook: note the call and watch its outputs; those without a graph get one."""
        if self._state != "forward" or not torch.is_grad_enabled():
            return None
        self.called.append(unit.module)
        copied = (unit.module, unit.method) in self.plan.copied
        args = tuple(_detached(argument, copied) for argument in args)
        keywords = {name: _detached(argument, copied) for name, argument in keywords.items()}
        call = Call(self.table.groups, args, keywords)
        leaves, spec = ([output], None) if isinstance(output, Tensor) else tree_flatten(output)
        replaced = False
        for k, leaf in enumerate(leaves):
            if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
                continue
            if not leaf.requires_grad:
                leaf = leaves[k] = self._source(leaf)
                replaced = True
            leaf.register_hook(partial(self._arrive, unit, call, len(call.deltas)))
            call.deltas.append(None)
            call.shapes.append(leaf.shape)
            if unit.rule is not None and unit.rule.outputs:
                call.outputs.append(leaf.detach())
        held = [a for a in (*args, *keywords.values()) if isinstance(a, Tensor)] + call.outputs
        call.versions = [(tensor, tensor._version) for tensor in held]
        self._calls[unit].append(call)
        if not replaced:
            return None
        return leaves[0] if spec is None else tree_unflatten(leaves, spec)

    def _source(self, leaf: Tensor) -> Tensor:
        """The same values with a graph that ends here; a scalar becomes one for each example."""
        if leaf.dim() == 0 and self.plan.expand:
            leaf = leaf.expand(self._rows)
        source = leaf.detach().requires_grad_()
        self._leaves.append(source)
        return source.clone()  # a model may write into it, and a leaf must not be written into

    def _arrive(self, unit: Unit, call: Call, index: int, delta: Tensor) -> None:
        """Tensor hook: a gradient of an output has arrived."""
        if self._state != "backward":
            raise Untraceable("it differentiates within its forward pass")
        if unit not in self._calls:
            raise Untraceable("more of its outputs count for other examples")
        call.deltas[index] = delta
        self._arrived[unit] += 1
        # Norms are taken as soon as the last gradient arrives, so that what the calls kept is let
        # go during the backward pass and not after it.
        if self._arrived[unit] == unit.expected:
            with torch.no_grad():
                self._finish(unit)

    def _finish_rest(self, unit: Unit, x: Tensor, weights: Tensor | None) -> None:
        """What was not finished on the way, now that modules and parameters are as ever."""
        if unit.method == "fused":
            return
        if not unit.module:
            first = next(self.wrapped.parameters())
            ones = torch.ones(len(x), dtype=first.dtype, device=x.device)
            call = Call(self.table.groups, (x,), {}, deltas=[ones if weights is None else weights])
            self._calls[unit] = [call]
        if unit in self._calls:
            self._finish(unit)

    def _finish(self, unit: Unit) -> None:
        """Norms of a unit from all its calls; what they kept is let go."""
        calls = self._calls.pop(unit)
        try:
            if any(t._version != version for call in calls for t, version in call.versions):
                raise Modified(unit.module)
            self._norms(unit, calls)
        except Exception as error:
            if self._failures is None:
                raise
            self._failures.update(dict.fromkeys(unit.columns.values(), error))

    def _norms(self, unit: Unit, calls: list[Call]) -> None:
        module = self.wrapped.get_submodule(unit.module)
        used = [(k, call) for k, call in enumerate(calls) if _arrived(call)]
        if not used:
            return
        if unit.rule is not None:
            gradients = [unit.rule.function(module, call) for _, call in used]
            for name, column in unit.columns.items():
                self.table.add(column, total([each[name] for each in gradients]))
            return
        replays = []
        for k, call in used:
            replay = Replay(call, self.plan.batched.get((unit.module, k)))
            self.plan.batched[unit.module, k] = replay.batched
            replays.append(replay)
        measured = vectorised if unit.method == "vmap" else looped
        rows = measured(module, unit.columns, replays, self.table.groups, self.table.measure)
        self.table.add_norms(list(unit.columns.values()), torch.stack(rows))


def _arrived(call: Call) -> bool:
    return any(delta is not None for delta in call.deltas)


def _detached(argument: Any, copied: bool) -> Any:
    """An argument without its graph, so that it can be kept; what it holds is not changed."""
    if isinstance(argument, Tensor):
        return argument.detach().clone() if copied else argument.detach()
    if argument is None or isinstance(argument, int | float | bool | str):
        return argument
    return tree_map_only(Tensor, lambda tensor: _detached(tensor, copied), argument)
