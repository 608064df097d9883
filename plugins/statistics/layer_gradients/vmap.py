"""Gradients of any module: by automatic vectorisation, or one group after the other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from plugins.statistics.layer_gradients.norms import Measure
from plugins.statistics.layer_gradients.registry import Call

# Gradients of as many groups at a time are formed as take about this many bytes.
GRADIENT_BYTES = 64 * 2**20


class Replay:
    """A recorded call, to be made again on the rows of some groups.

    Arguments:
        call: The call.
        batched: Which of the inputs, flattened, have the examples as rows; those tensors whose
            rows are a multiple of the groups, if not given.
    """

    def __init__(self, call: Call, batched: Sequence[bool] | None) -> None:
        self.leaves, self._spec = tree_flatten((call.inputs, dict(call.keywords)))
        self.batched = tuple(batched or (_has_rows(leaf, call.groups) for leaf in self.leaves))
        self.rows = [
            call.grouped(leaf.detach())
            for leaf, batched in zip(self.leaves, self.batched, strict=True)
            if batched
        ]
        self.deltas = {
            k: call.grouped(d.detach()) for k, d in enumerate(call.deltas) if d is not None
        }

    def outputs(
        self, function: Callable[..., Any], rows: Sequence[Tensor]
    ) -> list[tuple[Tensor, int]]:
        """The outputs that the density depends on, with their indices, for these rows."""
        given = iter(rows)
        leaves = [
            next(given) if batched else leaf
            for leaf, batched in zip(self.leaves, self.batched, strict=True)
        ]
        args, keywords = tree_unflatten(leaves, self._spec)
        outputs = floating(tree_leaves(function(*args, **keywords)))
        return [(out, k) for k, out in enumerate(outputs) if k in self.deltas]


def floating(leaves: Sequence[Any]) -> list[Tensor]:
    """The floating tensors among some values, in order."""
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def vectorised(
    module: nn.Module,
    columns: Mapping[str, int],
    replays: Sequence[Replay],
    groups: int,
    measure: Measure,
) -> list[Tensor]:
    """The measure of each gradient, float64, (M,); gradients of several groups at once.

    Arguments:
        module: The module that was called.
        columns: Names of parameters within it, and their columns.
        replays: Its calls.
        groups: M.
        measure: Given the gradients of some of the groups at a time.

    Raises:
        Exception: Whatever a module raises that cannot be vectorised.
    """
    parameters = {name: module.get_parameter(name).detach() for name in columns}

    def objective(parameters: Any, rows: Any, deltas: Any) -> Tensor:
        def function(*args: Any, **keywords: Any) -> Any:
            return functional_call(module, parameters, args, keywords)

        terms = [
            (out * delta[k]).sum()
            for replay, row, delta in zip(replays, rows, deltas, strict=True)
            for out, k in replay.outputs(function, row)
        ]
        return torch.stack(terms).sum()

    # Gradients and as much again for what they are summed from.
    numbers = 2 * sum(parameter.numel() for parameter in parameters.values())
    first = next(iter(parameters.values()))
    step = max(1, GRADIENT_BYTES // max(1, numbers * first.element_size()))
    pieces = []
    with warnings.catch_warnings():  # of loops within torch that could be faster
        warnings.simplefilter("ignore")
        for start in range(0, groups, step):
            part = slice(start, start + step)
            rows = [[row[part] for row in replay.rows] for replay in replays]
            deltas = [{k: d[part] for k, d in replay.deltas.items()} for replay in replays]
            gradients = vmap(grad(objective), (None, 0, 0))(parameters, rows, deltas)
            pieces.append([measure(column, gradients[name]) for name, column in columns.items()])
    return [torch.cat(column) for column in zip(*pieces, strict=True)]


def looped(
    module: nn.Module,
    columns: Mapping[str, int],
    replays: Sequence[Replay],
    groups: int,
    measure: Measure,
) -> list[Tensor]:
    """The same, with a backward pass per group."""
    parameters = [module.get_parameter(name) for name in columns]
    table = torch.zeros(len(columns), groups, dtype=torch.float64, device=parameters[0].device)
    with torch.enable_grad(), requiring_grad(parameters, True):
        for m in range(groups):
            outputs, deltas = [], []
            for replay in replays:
                for out, k in replay.outputs(module, [row[m] for row in replay.rows]):
                    if out.requires_grad:
                        outputs.append(out)
                        deltas.append(replay.deltas[k][m].sum_to_size(out.shape))
            if not outputs:
                continue
            gradients = torch.autograd.grad(outputs, parameters, deltas, allow_unused=True)
            for row, column, gradient in zip(table, columns.values(), gradients, strict=True):
                if gradient is not None:
                    row[m] = measure(column, gradient.unsqueeze(0))[0]
    return list(table)


@contextmanager
def requiring_grad(parameters: Sequence[Tensor], required: bool) -> Iterator[None]:
    """Let every parameter require a gradient, or none; then restore the flags."""
    changed = [parameter for parameter in parameters if parameter.requires_grad is not required]
    try:
        for parameter in changed:
            parameter.requires_grad_(required)
        yield
    finally:
        for parameter in changed:
            parameter.requires_grad_(not required)


def _has_rows(leaf: Any, groups: int) -> bool:
    if not isinstance(leaf, Tensor) or leaf.dim() == 0:
        return False
    return leaf.shape[0] > 0 and leaf.shape[0] % groups == 0
