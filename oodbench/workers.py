"""Support for executors: work for another process, and the events of workers elsewhere."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from oodbench._names import lazily, take_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from harness.cli.work import work_here
    from harness.run.following import FollowedLogs

__all__ = ["FollowedLogs", "Portable", "work_here"]


class Portable:
    """A function for running in a separate process.

    The function is sent in bytes, and unpickled only after `harness` and `plugins` mean our
    packages in the other process: on `sys.path` there, user packages with these names may come
    first.

    Arguments:
        function: Picklable, for example a `functools.partial` of a function and a task.

    Example:
        >>> from functools import partial
        >>> from oodbench.workers import Portable
        >>> work = Portable(partial(pow, 2))  # the target of a `multiprocessing.Process`
        >>> work(10)
        1024
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self._function(*arguments)

    def __reduce__(self) -> tuple[Callable[[bytes], Portable], tuple[bytes]]:
        return _unpickled, (pickle.dumps(self._function),)


def _unpickled(function: bytes) -> Portable:
    take_names()
    return Portable(pickle.loads(function))


__getattr__ = lazily(
    __name__, ["harness.run.following", "harness.cli.work"], ["FollowedLogs", "work_here"]
)
