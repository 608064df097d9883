"""For executors: work that another process of this computer can unpickle."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from oodbench._names import take_names


class Portable:
    """A function that a process of its own can be started with.

    It is sent as bytes, which the process unpickles only when `harness` and `plugins` mean ours
    there: on its `sys.path` packages of the user that bear these names may come first.

    Arguments:
        function: Picklable, such as a `functools.partial` of a function and a task.
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
