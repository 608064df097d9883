"""Devices and their memory: where a run computes, and chunks that fit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import BenchError, is_out_of_memory

if TYPE_CHECKING:
    import torch

Part = TypeVar("Part", bound=Any)
Out = TypeVar("Out")

# Parameters of glibc's mallopt, as <malloc.h> numbers them, and what they are set to, in bytes.
TRIM_THRESHOLD, KEPT = -1, 2**30
MMAP_THRESHOLD, LARGEST = -3, 2**28


def find_device(name: str) -> torch.device:
    """The device of a name; `"auto"` is the first CUDA device, or else the CPU.

    Raises:
        BenchError: There is no such device.
    """
    import torch  # here: tasks that keep freed memory are made without it

    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise BenchError(f"--device {name}: no such device here ({reason})") from None
    return device


def keep_freed_memory() -> None:
    """Let this process use memory that it freed again, in place of returning it to the system.

    glibc maps what is larger than 32 MiB anew each time, and the system clears it page by page:
    for the activations of a wide model a seventh of a training step on a CPU. Now that begins at
    256 MiB, and up to 1 GiB of freed memory stays with the process. With another C library
    nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(MMAP_THRESHOLD, LARGEST)
    mallopt(TRIM_THRESHOLD, KEPT)


def in_chunks(items: Part, size: int, do: Callable[[Part], Out]) -> Iterator[tuple[int, Out]]:
    """What `do` makes of consecutive parts; where memory runs out, parts are halved from then on.

    Arguments:
        items: Can be sliced.
        size: Of a part, at most; at least 1.
        do: Given a part.

    Yields:
        The length of each part and what `do` returned.

    Raises:
        Exception: Of `do`; that memory ran out only if it did for a single item.
    """
    start = 0
    while start < len(items):
        part = items[start : start + size]
        try:
            made = do(part)
        except (MemoryError, RuntimeError) as error:
            if len(part) == 1 or not is_out_of_memory(error):
                raise
            size = len(part) // 2
            continue
        yield len(part), made
        start += len(part)
