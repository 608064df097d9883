"""Devices and memory: device selection, and chunks that fit into memory."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import BenchError, is_out_of_memory

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Part = TypeVar("Part", bound=Any)
Out = TypeVar("Out")

# Parameters for glibc's mallopt, with numbers from <malloc.h>, and the values to set, in bytes.
TRIM_THRESHOLD, KEPT = -1, 2**30
MMAP_THRESHOLD, LARGEST = -3, 2**28


def find_device(name: str) -> torch.device:
    """Return the device with a given name; `"auto"` is the first CUDA device, or else the CPU.

    Raises:
        BenchError: The device does not exist.
    """
    import torch  # here, because `keep_freed_memory` must not require torch

    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise BenchError(f"--device {name}: device not available ({reason})") from None
    return device


@cache
def machine_kind(device: torch.device) -> str:
    """Name what rounding depends on: the GPU, or the architecture and instructions of the CPU.

    Example:
        >>> import torch
        >>> machine_kind(torch.device("cpu"))  # doctest: +SKIP
        'x86_64 CPU with AVX512'
    """
    import torch

    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type != "cpu":
        return device.type
    return f"{platform.machine()} CPU with {torch.backends.cpu.get_cpu_capability()}"


def gpus_to_share(name: str) -> list[str]:
    """List the GPUs to divide among workers, as values for `$CUDA_VISIBLE_DEVICES`.

    A scheduler's choice in that variable is kept.

    Returns:
        Empty on the CPU, and for a device named with its number.
    """
    import torch

    if name not in ("auto", "cuda") or not torch.cuda.is_available():
        return []
    named = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    count = torch.cuda.device_count()
    return (named if any(named) else [str(number) for number in range(count)])[:count]


@contextmanager
def thread_count(count: int) -> Iterator[None]:
    """Let torch use a number of threads inside the block, which may be in a user's process."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Keep freed memory in the process for reuse instead of returning it to the system.

    By default, glibc maps every block above 32 MiB anew, and the system clears the block page by
    page: for the activations in a wide model this takes a seventh of a training step on a CPU.
    After this call the limit is 256 MiB, and up to 1 GiB of freed memory stays with the process.
    With another C library nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(MMAP_THRESHOLD, LARGEST)
    mallopt(TRIM_THRESHOLD, KEPT)


def without_waiting(x: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device without blocking until the GPU is ready.

    Unless the memory is pinned, the program waits until the GPU has finished all earlier work.
    """
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def in_chunks(items: Part, size: int, do: Callable[[Part], Out]) -> Iterator[tuple[int, Out]]:
    """Apply `do` to consecutive parts; after an out-of-memory error the part size is halved.

    Arguments:
        items: A sequence that supports slicing.
        size: Maximum length of a part; at least 1.
        do: Function of one part.

    Yields:
        The length of each part and the result for this part.

    Raises:
        Exception: Any error raised by `do`; an out-of-memory error only for a single item.
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
