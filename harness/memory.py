"""Memory: that which ran out, and that which was freed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Part = TypeVar("Part", bound=Any)
Out = TypeVar("Out")

TEXTS = (
    "can't allocate memory",  # torch on a CPU, which has no error of its own for that
    "not enough memory",  # the same on Windows
    "std::bad_alloc",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)

# Parameters of glibc's mallopt, as <malloc.h> numbers them, and what they are set to, in bytes.
TRIM_THRESHOLD, KEPT = -1, 2**30
MMAP_THRESHOLD, LARGEST = -3, 2**28


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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of a device or of the CPU."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in TEXTS)


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
