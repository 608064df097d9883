"""Memory that ran out: how that is told from other errors."""

from __future__ import annotations

TEXTS = (
    "can't allocate memory",  # torch on a CPU, which has no error of its own for that
    "not enough memory",  # the same on Windows
    "std::bad_alloc",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of a device or of the CPU."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in TEXTS)
