"""A single forward and backward pass, recording the data needed by every unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from plugins.statistics.layer_gradients.graph import ObjectiveModule, Untraceable
from plugins.statistics.layer_gradients.norms import NormTable, RuleGradient, total
from plugins.statistics.layer_gradients.plan import Plan, Unit
from plugins.statistics.layer_gradients.registry import BackwardPass, Call
from plugins.statistics.layer_gradients.vmap import Replay, looped, vectorised


class Modified(Exception):
    """The inputs to a unit have been overwritten since the call."""


class Recorder:
    """The calls of all units in a pass over M groups, and the norms derived from the calls.

    Arguments:
        wrapped: The model; the parameters do not require a gradient.
        plan: Modules and methods to use.
        table: Table for M groups, receiving the norms or other measures.
        failures: Receives errors by column; if None, errors are raised.
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
        self._calls: dict[Unit, list[tuple[str, Call]]] = {unit: [] for unit in self.units}
        self._arrived = dict.fromkeys(self.units, 0)
        names = dict.fromkeys(name for unit in self.units for name in unit.parts)
        self._modules = {name: wrapped.get_submodule(name) for name in names}
        self._leaves: list[Tensor] = []  # inputs to differentiate with respect to
        self._state = "idle"

    def run(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """Evaluate the objective for x, uint8, (N, *shape), and put the norms into the table.

        Arguments:
            x: The examples, group after group.
            weights: Weights for the examples in the differentiated sum, (N,); 1 by default.

        Raises:
            Untraceable: The module calls differ from the plan.
        """
        self._rows = len(x)
        with self._hooks(), torch.enable_grad():
            values = self._forward(x)
            if values.requires_grad and self._leaves:
                self._state = "backward"
                # A sum, since gradients given for `values` make torch import sympy: two seconds.
                total = (values if weights is None else weights.to(values) * values).sum()
                torch.autograd.grad(total, self._leaves, allow_unused=True)
                self._state = "idle"
        with torch.no_grad():
            for unit in self.units:
                self._finish_rest(unit, x, weights)
        return values.detach()

    def note_arrivals(self) -> None:
        """Make the units expect as many output gradients as arrived in this pass."""
        for unit in self.units:
            if unit.method == "rule":
                unit.expected = self._arrived[unit]

    def _forward(self, x: Tensor) -> Tensor:
        self._state = "forward"
        values = self.wrapped(x)
        self._state = "idle"
        if self.plan.calls is not None and self.called != self.plan.calls:
            raise Untraceable("the order of module calls depends on the examples")
        return values

    @contextmanager
    def _hooks(self) -> Iterator[None]:
        """Record calls inside the context; on exit, restore the modules."""
        # Parameters do not require a gradient, so a fused module gets an extra input that does:
        # otherwise autograd would skip the module's backward pass.
        anchor = torch.zeros((), requires_grad=True)
        with ExitStack() as stack:
            for unit in self.units:
                for name in unit.parts:
                    stack.enter_context(self._hook(unit, name, anchor))
            yield

    @contextmanager
    def _hook(self, unit: Unit, name: str, anchor: Tensor) -> Iterator[None]:
        """Record the calls of a module inside the context."""
        module = self._modules[name]
        if unit.method == "fused":
            self._leaves.append(anchor)
            with self._fused(module, unit, anchor):
                yield
        elif name:
            hook = partial(self._after, unit, name)
            handle = module.register_forward_hook(hook, with_kwargs=True)
            try:
                yield
            finally:
                handle.remove()
        else:
            yield

    @contextmanager
    def _fused(self, module: nn.Module, unit: Unit, anchor: Tensor) -> Iterator[None]:
        fused_rule = unit.parts[unit.module].fused_rule
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

    def _after(
        self, unit: Unit, name: str, module: nn.Module, args: Any, keywords: Any, output: Any
    ) -> Any:
        """Forward hook: record the call and watch the outputs; give each output a graph."""
        if self._state != "forward" or not torch.is_grad_enabled():
            return None
        self.called.append(name)
        copied = unit.way in self.plan.copied
        args = tuple(_detached(argument, copied) for argument in args)
        keywords = {name: _detached(argument, copied) for name, argument in keywords.items()}
        # A bare tensor skips the tree functions: for a small model, their time counts.
        leaves, spec = ([output], None) if isinstance(output, Tensor) else tree_flatten(output)
        if any(self._is_common(leaf) for leaf in leaves):
            args = tuple(self._repeated(argument) for argument in args)
            keywords = {name: self._repeated(argument) for name, argument in keywords.items()}
        call = Call(self.table.groups, args, keywords)
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
            rule = unit.parts[name].rule
            if rule is not None and rule.outputs:
                call.outputs.append(leaf.detach())
        held = [a for a in (*args, *keywords.values()) if isinstance(a, Tensor)] + call.outputs
        call.versions = [(tensor, tensor._version) for tensor in held]
        self._calls[unit].append((name, call))
        if not replaced:
            return None
        return leaves[0] if spec is None else tree_unflatten(leaves, spec)

    def _source(self, leaf: Tensor) -> Tensor:
        """Return the values with a graph starting here, for each example."""
        if leaf.dim() == 0 and self.plan.expand:
            leaf = leaf.expand(self._rows)
        leaf = self._repeated(leaf)
        source = leaf.detach().requires_grad_()
        self._leaves.append(source)
        # The model may write into the output, and autograd forbids writing into a leaf.
        return source.clone()

    def _is_common(self, value: Any) -> bool:
        """Return whether a value has a single row for all examples, like embedded positions."""
        if not isinstance(value, Tensor) or not self.plan.expand:
            return False
        return value.dim() > 1 and value.shape[0] == 1 < self._rows

    def _repeated(self, value: Any) -> Any:
        """Repeat the single row of a value for each example; return other values as they are."""
        return value.expand(self._rows, *value.shape[1:]) if self._is_common(value) else value

    def _arrive(self, unit: Unit, call: Call, index: int, delta: Tensor) -> None:
        """Tensor hook: an output gradient has arrived."""
        if self._state != "backward":
            raise Untraceable("the model differentiates within the forward pass")
        if unit not in self._calls:
            raise Untraceable("the outputs that count depend on the examples")
        call.deltas[index] = delta
        self._arrived[unit] += 1
        # Norms are computed as soon as the last gradient arrives, so that the tensors kept by the
        # calls are freed during the backward pass, not after.
        if self._arrived[unit] == unit.expected:
            with torch.no_grad():
                self._finish(unit)

    def _finish_rest(self, unit: Unit, x: Tensor, weights: Tensor | None) -> None:
        """Finish the remaining units, with modules and parameters restored."""
        if unit.method == "fused":
            return
        if not unit.module:
            first = next(self.wrapped.parameters())
            ones = torch.ones(len(x), dtype=first.dtype, device=x.device)
            call = Call(self.table.groups, (x,), {}, deltas=[ones if weights is None else weights])
            self._calls[unit] = [("", call)]
        if unit in self._calls:
            self._finish(unit)

    def _finish(self, unit: Unit) -> None:
        """Compute the norms for a unit from all calls, and free the tensors kept."""
        calls = self._calls.pop(unit)
        try:
            if any(t._version != version for _, call in calls for t, version in call.versions):
                raise Modified(unit.module)
            for _, call in calls:
                call.widen()
            self._norms(unit, calls)
        except Exception as error:
            if self._failures is None:
                raise
            self._failures.update(dict.fromkeys(unit.columns.values(), error))

    def _norms(self, unit: Unit, calls: list[tuple[str, Call]]) -> None:
        used = [(k, name, call) for k, (name, call) in enumerate(calls) if _arrived(call)]
        if not used:
            return
        if unit.method == "rule":
            self._norms_by_rule(unit, [(name, call) for _, name, call in used])
            return
        module = self._modules[unit.module]
        replays = []
        for k, _, call in used:
            replay = Replay(call, self.plan.batched.get((unit.module, k)))
            self.plan.batched[unit.module, k] = replay.batched
            replays.append(replay)
        measured = vectorised if unit.method == "vmap" else looped
        rows = measured(module, unit.columns, replays, self.table.groups, self.table.measure)
        self.table.add_norms(list(unit.columns.values()), torch.stack(rows))

    def _norms_by_rule(self, unit: Unit, calls: list[tuple[str, Call]]) -> None:
        gradients: dict[int, list[RuleGradient]] = {}
        for name, call in calls:
            part = unit.parts[name]
            assert part.rule is not None
            made = part.rule.function(self._modules[name], call)
            for local, column in part.columns.items():
                gradients.setdefault(column, []).append(made[local])
        for column, found in gradients.items():
            self.table.add(column, total(found))


def _arrived(call: Call) -> bool:
    return any(delta is not None for delta in call.deltas)


def _detached(argument: Any, copied: bool) -> Any:
    """Return an argument without a graph, for keeping; containers are copied, not modified."""
    if isinstance(argument, Tensor):
        return argument.detach().clone() if copied else argument.detach()
    if argument is None or isinstance(argument, int | float | bool | str):
        return argument
    return tree_map_only(Tensor, lambda tensor: _detached(tensor, copied), argument)
