"""Interrupts: SIGINT and SIGTERM raise `Interrupted`, again and again until the command ends.

A single exception is not enough. CPython drops an exception that is raised in a finaliser, in a
callback of a weak reference, or while the compiler computes a constant such as `2**31`; and other
code replaces the exception, for example by an `ImportError`.
"""

from __future__ import annotations

import atexit
import os
import shlex
import signal
import sys
import time
import traceback
from types import FrameType
from typing import Any

from harness.errors import Interrupted

AGAIN_SECONDS = 0.1
"""Time between two exceptions, in seconds."""
GRACE_SECONDS = 10.0
"""Maximum time for clean-up after an interrupt, in seconds."""


class Interrupts:
    """Handlers for SIGINT and SIGTERM in this process.

    After a second interrupt, or after a long clean-up, the process ends at once; the store stays
    consistent. On systems without interval timers, the exception is raised once.

    Attributes:
        were_heard: An interrupt has arrived.
    """

    def __init__(self) -> None:
        self.were_heard = False
        self._end = 0.0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._begin)
        sys.unraisablehook = _report_unraisable
        # Registered first, so called last: Python removes its handlers soon after, and then the
        # timer would end the process by SIGALRM in place of the exit status.
        atexit.register(_stop_timer)

    def stop(self) -> None:
        """Raise no exception any more; a process that does not end in time is ended."""
        if self.were_heard:
            _set_timer(_leave_at_once, max(self._end - time.monotonic(), AGAIN_SECONDS))

    def _begin(self, number: int, frame: FrameType | None) -> None:
        self.were_heard = True
        self._end = time.monotonic() + GRACE_SECONDS
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, _leave_at_once)
        _set_timer(self._ask, AGAIN_SECONDS, AGAIN_SECONDS)
        self._ask(number, frame)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if time.monotonic() > self._end:
            _leave_at_once(number, frame)
        if not _is_cleaning() and not _is_finaliser(frame):
            raise Interrupted


def _is_cleaning() -> bool:
    """Check that `Interrupted` is being handled, as by a `finally` block or a `with` statement."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, Interrupted):
        error = error.__context__
    return error is not None


def _is_finaliser(frame: FrameType | None) -> bool:
    """Check that a finaliser is running; an exception would cut its work short."""
    return any(caller.f_code.co_name == "__del__" for caller, _ in traceback.walk_stack(frame))


def _report_unraisable(found: sys.UnraisableHookArgs) -> None:
    """Report an exception that was dropped, except for interrupts, which are raised again."""
    if not isinstance(found.exc_value, Interrupted):
        sys.__unraisablehook__(found)


def _set_timer(handler: Any, seconds: float, interval: float = 0.0) -> None:
    """Call a handler after a delay, and then at each interval."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, seconds, interval)


def _stop_timer() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    try:
        os.write(2, f"{show_cursor}{message()}\n".encode())
    finally:
        os._exit(Interrupted.exit_status)


def message() -> str:
    """Return the message of an interrupted command: how to resume."""
    return f"\ninterrupted; to resume: {command()}"


def command() -> str:
    """Return the command of this process, for a shell."""
    return shlex.join(["bench", *sys.argv[1:]])
