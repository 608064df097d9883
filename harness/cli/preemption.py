"""Requests to end a worker: by Slurm before a preemption, by a supervisor, or from the keyboard.

Unlike other commands, a worker ends at a moment of its own choice, when its progress is stored.
"""

from __future__ import annotations

import signal
from types import FrameType

PREEMPTED = 75
"""Exit status of a worker that was asked to end: EX_TEMPFAIL, "try again", of `sysexits.h`."""

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR2") if hasattr(signal, name)
)


class StopRequest:
    """Tells a worker whether it is asked to end: by SIGUSR2, SIGTERM or SIGINT.

    Until the worker asks for the first time, a signal interrupts as in other commands. Afterwards
    further signals are ignored while the worker stores its progress, except for a second SIGINT,
    which ends the process at once.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._listens = False
        for number in SIGNALS:
            signal.signal(number, signal.getsignal(signal.SIGTERM))

    def __call__(self) -> bool:
        """Return True once a signal has arrived."""
        if not self._listens:
            self._listens = True
            for number in SIGNALS:
                signal.signal(number, self._note)
        return self._number is not None

    @property
    def is_preemption(self) -> bool:
        """The request came from a scheduler or a supervisor, not from the keyboard."""
        return self._number not in (None, signal.SIGINT)

    @property
    def name(self) -> str:
        """Name of the first signal."""
        return "no signal" if self._number is None else signal.Signals(self._number).name

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._number is None:
            self._number = number
        elif number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
