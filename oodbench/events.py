"""Run events, in plain data: hooks receive events, executors report events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oodbench._names import lazily

if TYPE_CHECKING:
    from harness.events import *

__all__ = [
    "CellFinished",
    "CellKnown",
    "EpochFinished",
    "Event",
    "JobFailed",
    "JobFinished",
    "JobUnsupported",
    "Message",
    "RunFinished",
    "RunStarted",
    "StepAdvanced",
    "StepFinished",
    "StepStarted",
    "WorkTaken",
]
__getattr__ = lazily(__name__, ["harness.events"], __all__)
