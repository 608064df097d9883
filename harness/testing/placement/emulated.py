"""A second device without hardware: tensors that claim to be there, and refuse to mix.

The values of an emulated tensor are in main memory, and every operation runs the kernels of the
CPU; so results must equal those on the CPU bit for bit. Like on a GPU, operations on tensors from
both devices fail, except where torch allows them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

from harness.testing.checks import Fault

DEVICE = torch.device("lazy", 0)
"""The device that emulated tensors claim: torch has the name and autograd, but no kernels."""

REMEDY = "keep constants in buffers, and create tensors with device=x.device"
CONSTRUCTORS = (torch.tensor, torch.as_tensor, torch.asarray)
ITEMS = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)
COPIES = {"_to_copy", "copy_", "_foreach_copy_"}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}
TAKES_SCALARS = {"fill", "fill_", "masked_fill", "masked_fill_", *INDEXED}
"""Operations, besides those number by number, that torch lets take a CPU tensor without axes."""
WAITS = {"_local_scalar_dense", "equal", "masked_select", "nonzero", "repeat_interleave"}
"""Operations whose result, or its shape, the program needs at once."""


class EmulatedTensor(Tensor):
    """A tensor that claims to be on `DEVICE`; `on_cpu` holds the values."""

    on_cpu: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls: type, values: Tensor) -> EmulatedTensor:  # noqa: D102 - torch's way
        made: EmulatedTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            layout=values.layout,
            device=DEVICE,
        )
        made.on_cpu = values
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: OpOverload, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise RuntimeError(f"{function} on an emulated tensor, outside of `emulated_device`")

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"emulated {self.on_cpu!r}"

    def __format__(self, form: str) -> str:
        return format(self.item(), form) if self.dim() == 0 else repr(self)

    def tolist(self) -> Any:
        """Copy the numbers to the CPU, which torch refuses to do for subclasses."""
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Refuse, like torch does for a tensor on a GPU."""
        raise Fault(f"numpy() of a tensor on the device {_place()}: call .cpu() first")

    def __array__(self, dtype: Any = None) -> Any:
        return self.numpy()


class Emulation(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs operations on emulated tensors, and creates such tensors on request.

    Attributes:
        faults: Every operation refused, whether or not an `except` hid the error.
        waits: Number of times that a program on a GPU would wait for a number, by file and line.
        rounding: Largest difference of results from those on the CPU, if they were compared.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.faults: list[Fault] = []
        self.rounding = 0.0
        self.waits: Counter[tuple[str, int]] = Counter()

    def __torch_dispatch__(
        self, function: OpOverload, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operation on the values, and wrap the results that belong on the device."""
        given = dict(kwargs or {})
        leaves = list(_leaves((args, *given.values())))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        there = [tensor for tensor in tensors if isinstance(tensor, EmulatedTensor)]
        target = given.get("device")
        is_there = bool(there) if target is None else is_emulated(target)
        if there:
            self._refuse_mixed(function, args, tensors)
        if is_there and any(isinstance(leaf, torch.Generator) for leaf in leaves):
            self._refuse(
                f"{_name(function)} draws on the device with a generator on the CPU",
                "draw on the CPU, then move the numbers with .to(x.device)",
            )
        if there and _waits(function, args, is_there):
            self.waits[_caller()] += 1
        if is_there and target is not None:
            given = given | {"device": torch.device("cpu")}
        made = function(
            *_mapped(_values, args), **{name: _mapped(_values, x) for name, x in given.items()}
        )
        if not is_there or (_name(function) == "copy_" and not _is_there(args[0])):
            return made
        made = _mapped(EmulatedTensor, made)
        aliased = return_and_correct_aliasing
        return aliased(function, args, kwargs or {}, made)  # type: ignore[no-untyped-call]

    def _refuse_mixed(self, function: OpOverload, args: Any, tensors: Sequence[Tensor]) -> None:
        """Raise if torch would refuse tensors on two devices, as for a GPU."""
        name = _name(function)
        here = [tensor for tensor in tensors if not isinstance(tensor, EmulatedTensor)]
        if not here or name in COPIES:
            return
        if name in INDEXED and _is_there(args[0]):  # torch moves the indices
            values = [leaf for leaf in _leaves(args[2:]) if isinstance(leaf, Tensor)]
            here = [tensor for tensor in values if not _is_there(tensor)]
        is_number = torch.Tag.pointwise in function.tags or name in TAKES_SCALARS
        if is_number or name.startswith("_foreach_"):
            written = [leaf for leaf in _written(function, args) if not _is_there(leaf)]
            here = [tensor for tensor in here if tensor.dim() or written]
        if here:
            shapes = [tuple(tensor.shape) for tensor in tensors if _is_there(tensor)]
            left = _listed([tuple(tensor.shape) for tensor in here])
            self._refuse(
                f"{name} mixes tensors on the device, with shape {_listed(shapes)}, and on the "
                f"CPU, with shape {left}",
                REMEDY,
            )

    def _refuse(self, what: str, remedy: str) -> None:
        self.faults.append(Fault(f"{what} {_place()}: {remedy}"))
        raise self.faults[-1]

    def waits_of_plugins(self, times: int) -> str:
        """Name the places outside the harness that waited at least this often."""
        harness = str(Path(__file__).parents[2])
        places = [
            f"{Path(file).name}:{line}"
            for (file, line), count in self.waits.items()
            if count >= times and not file.startswith(harness)
        ]
        return ", ".join(places)


class _Constructors(TorchFunctionMode):
    """Replaces functions that torch runs past all dispatch, or otherwise for subclasses."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run a function of torch."""
        given: dict[str, Any] = dict(kwargs or {})
        device = given.get("device")
        if function in ITEMS and isinstance(args[0], EmulatedTensor):
            return function(args[0], _moved_index(args[1]), *args[2:])
        if function in WITHOUT_VECTORS and not (torch.is_grad_enabled() and args[0].requires_grad):
            return WITHOUT_VECTORS[function](*args, **given)
        if function is torch.Tensor.new_tensor:
            like, *args = args
            given = {"dtype": like.dtype} | given
            function, device = torch.tensor, like.device if device is None else device
        elif function not in CONSTRUCTORS:
            return function(*args, **given)
        if device is None or not is_emulated(device) or isinstance(args[0], EmulatedTensor):
            return function(*args, **given | ({} if device is None else {"device": device}))
        needs_gradient = given.pop("requires_grad", False)
        made: Tensor = function(*args, **given | {"device": "cpu"})
        return made.to(device).requires_grad_(needs_gradient)


@contextmanager
def emulated_device() -> Iterator[Emulation]:
    """Make `DEVICE` usable inside the context.

    Raises:
        Fault: An operation was refused, and the error did not leave the context by itself.
    """
    torch.lazy = SimpleNamespace()  # type: ignore[attr-defined] # checkpoints look for a module
    swap = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    emulation = Emulation()
    try:
        with emulation, _Constructors():
            yield emulation
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swap)
        del torch.lazy  # type: ignore[attr-defined]
    if emulation.faults:
        raise emulation.faults[0]


def is_emulated(device: torch.device | str | int) -> bool:
    """Return whether a device is the emulated one."""
    return torch.device(device).type == DEVICE.type


def _moved_index(index: Any) -> Any:
    """Return an index with lists of numbers as tensors on the device, as torch would make them."""
    if isinstance(index, tuple):
        return tuple(_moved_index(part) for part in index)
    if not isinstance(index, list | np.ndarray):
        return index
    return torch.tensor(index, dtype=None if len(index) else torch.long).to(DEVICE)


def _svdvals(a: Tensor, *, driver: str | None = None) -> Tensor:
    return torch._linalg_svd(a, full_matrices=False, compute_uv=False, driver=driver)[1]


def _eigvalsh(a: Tensor, UPLO: str = "L") -> Tensor:
    return torch._linalg_eigh(a, UPLO, compute_v=False)[0]


WITHOUT_VECTORS: Mapping[Any, Callable[..., Tensor]] = {
    torch.linalg.svdvals: _svdvals,
    torch.linalg.eigvalsh: _eigvalsh,
}
"""Torch computes the vectors too for every subclass of tensors, with other rounding."""


def _values(tensor: Tensor) -> Tensor:
    return tensor.on_cpu if isinstance(tensor, EmulatedTensor) else tensor


def _mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Apply a function to the tensors in lists and tuples; the arguments of operations."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, list | tuple):
        return type(value)(_mapped(function, part) for part in value)
    return value


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _is_there(leaf: Any) -> bool:
    return isinstance(leaf, EmulatedTensor)


def _waits(function: OpOverload, args: Any, is_there: bool) -> bool:
    """Return whether a program needs the result, or its shape, from the device at once."""
    name = _name(function)
    if name == "copy_":
        return not _is_there(args[0])
    is_mask = name.startswith("index") and any(
        isinstance(leaf, Tensor) and leaf.dtype == torch.bool for leaf in _leaves(args[1])
    )
    return name in WAITS or is_mask or not is_there


def _written(function: OpOverload, args: Sequence[Any]) -> list[Any]:
    """Return the tensors that an operation writes into."""
    pairs = zip(function._schema.arguments, args, strict=False)
    return [
        leaf
        for argument, value in pairs
        if argument.alias_info is not None and argument.alias_info.is_write
        for leaf in _leaves(value)
    ]


def _name(function: OpOverload) -> str:
    """Return the name of an operation as in Python: `mul`, `index_put_`."""
    return function._schema.name.partition("::")[2]


def _caller() -> tuple[str, int]:
    """Return file and line of the innermost frame outside torch and this module."""
    ours = (__file__, str(Path(torch.__file__).parent))
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(ours):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _place() -> str:
    file, line = _caller()
    return f"({Path(file).name}:{line})"


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(str(shape) for shape in dict.fromkeys(shapes))
