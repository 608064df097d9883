"""Peak memory for a pass, counted from the tensors created during the pass."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Allocations(TorchDispatchMode):
    """Count bytes for tensors created inside the context and not yet freed; `peak` is the maximum.

    Tensors returned by operations are counted. Memory used and freed inside an operation is
    counted only for the patches and the weight copy made by some torch convolutions. The count
    depends on the operations alone, and is the same for every run and on every machine.

    Arguments:
        known: Tensors existing before; views into these tensors do not take memory.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self._live = 0
        self._alive: dict[int, object] = {t.untyped_storage()._cdata: t for t in known}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say no: otherwise the first trial imports torch's compiler, for two to three seconds."""
        return False

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation and count the returned tensors."""
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
    """Return the bytes for a convolution's patches and weight copy, 0 for other operations."""
    if function is torch.ops.aten.convolution.default:
        output, weight, transposed, groups = made, args[1], args[6], args[8]
    elif function is torch.ops.aten.convolution_backward.default:
        output, weight, transposed, groups = args[0], args[2], args[7], args[9]
    else:
        return 0
    columns = groups * weight[0].numel()
    rows = output[:1] if transposed else output  # torch makes patches example by example
    patches = 0 if weight[0, 0].numel() == 1 else rows[:, 0].numel() * columns
    return int((patches + weight.numel()) * output.element_size())
