"""What a pass takes of memory at most, counted by the tensors that are made within it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Allocations(TorchDispatchMode):
    """Bytes of the tensors that are made within it and not yet freed; `peak` is the most so far.

    It sees what operations return. Of what they use and free themselves it counts the patches and
    the copy of the weight that some of torch's convolutions make. It depends on nothing but the
    operations: it is the same on every run and every machine.

    Arguments:
        known: Tensors that were there before; their views take no memory.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self._live = 0
        self._alive: dict[int, object] = {t.untyped_storage()._cdata: t for t in known}

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation and note what it returned."""
        made = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._note(leaf.untyped_storage())
        self.peak = max(self.peak, self._live + _scratch(function, args, made))
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return

        def free(_: object) -> None:
            del self._alive[key]
            self._live -= size

        self._alive[key] = weakref.ref(storage, free)
        self._live += size


def _scratch(function: Callable[..., Any], args: Any, made: Any) -> int:
    """Bytes of the patches and the copied weight of a convolution, 0 for anything else."""
    if function is torch.ops.aten.convolution.default:
        output, weight, transposed, groups = made, args[1], args[6], args[8]
    elif function is torch.ops.aten.convolution_backward.default:
        output, weight, transposed, groups = args[0], args[2], args[7], args[9]
    else:
        return 0
    columns = groups * weight[0].numel()
    rows = output[:1] if transposed else output  # one example at a time
    patches = 0 if weight[0, 0].numel() == 1 else rows[:, 0].numel() * columns
    return int((patches + weight.numel()) * output.element_size())
