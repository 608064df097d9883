"""Gradients for any module: by automatic vectorisation, or in a loop over groups."""

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

# Memory in bytes for the gradients formed at a time.
GRADIENT_BYTES = 64 * 2**20


class Replay:
    """A recorded call, for repetition on the rows of some groups.

    Arguments:
        call: The recorded call.
        batched: Flags for the flattened inputs that have the examples as rows. By default, all
            tensors with a number of rows divisible by the number of groups.
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
        """Return the outputs with influence on the density, with indices, for these rows."""
        given = iter(rows)
        leaves = [
            next(given) if batched else leaf
            for leaf, batched in zip(self.leaves, self.batched, strict=True)
        ]
        args, keywords = tree_unflatten(leaves, self._spec)
        outputs = floating(tree_leaves(function(*args, **keywords)))
        return [(out, k) for k, out in enumerate(outputs) if k in self.deltas]


def floating(leaves: Sequence[Any]) -> list[Tensor]:
    """Select the floating tensors among some values, in order."""
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def vectorised(
    module: nn.Module,
    columns: Mapping[str, int],
    replays: Sequence[Replay],
    groups: int,
    measure: Measure,
) -> list[Tensor]:
    """Measure each gradient, float64, (M,), with gradients for several groups at once.

    Arguments:
        module: The called module.
        columns: Columns by parameter name within the module.
        replays: The calls.
        groups: Number of groups, M.
        measure: Function applied to the gradients for some groups at a time.

    Raises:
        Exception: Any error raised by a module that cannot be vectorised.
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

    # Twice the gradients: vmap also forms the terms summed into each gradient.
    numbers = 2 * sum(parameter.numel() for parameter in parameters.values())
    first = next(iter(parameters.values()))
    step = max(1, GRADIENT_BYTES // max(1, numbers * first.element_size()))
    pieces = []
    with warnings.catch_warnings():  # vmap warns about slow loops within torch
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
    """Measure each gradient like `vectorised`, with a backward pass per group."""
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
    """Set `requires_grad` for all parameters inside the context; restore the flags on exit."""
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
