"""Claims: a piece of work is done by one worker at a time, and deaths of workers are counted.

A claim is a lock with a *mark* beside it, a file that grows by a byte when work begins and is
removed when the worker leaves the work in order. A mark without a holder tells how many workers
died at the work, for example because memory ran out each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.store.clock import is_written_since
from harness.store.layout import LOCKS
from harness.store.locks import try_lock


class Claim:
    """A lock that this worker holds, and the mark beside it.

    Arguments:
        root: The store.
        name: Name of the lock.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root, self._mark = root, root / LOCKS / f"{name}.begun"

    def deaths(self, began: float) -> int:
        """Return the number of workers that died at the work since a time from `now_at`."""
        if is_written_since(self._root, self._mark, began):
            return self._mark.stat().st_size
        self._mark.unlink(missing_ok=True)  # of an earlier run: it counts no more
        return 0

    @contextmanager
    def marked(self) -> Iterator[None]:
        """Mark the work as begun, until the block is left; the death of the worker leaves it."""
        with self._mark.open("ab") as file:
            file.write(b".")
        try:
            yield
        finally:
            self._mark.unlink(missing_ok=True)


@contextmanager
def claimed(root: Path, name: str) -> Iterator[Claim | None]:
    """Claim a piece of work inside a block; None if another worker holds it."""
    lock = try_lock(root, name)
    if lock is None:
        yield None
        return
    try:
        yield Claim(root, name)
    finally:
        lock.release()
