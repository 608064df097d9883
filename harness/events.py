"""What happens in a run, as values: displays show them, hooks receive them.

They cross process boundaries, so they hold plain data only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True)
class TaskEvent(Event):
    """Something that happened in a task, which is named."""

    task: str


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins: the suite, how many jobs it will do and how many cells it will score.

    Attributes:
        folder: A folder for what tells of the run, in which trackers may write; empty if none.
        only: The selection, `KEY=VALUE` each.
        trainings: Of each model, ID set and seed: plugin, options, recipe and epochs.
        tables: Of each model, ID set and group size: OOD sets, scorers, epochs and seeds.
    """

    suite: str
    jobs: int
    cells: int
    folder: str = ""
    only: list[str] = field(default_factory=list)
    trainings: list[dict[str, Any]] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class StepStarted(TaskEvent):
    """A piece of long work begins in a task: its label and its length in `unit`s."""

    step: str
    total: int
    unit: str


@dataclass(frozen=True)
class StepAdvanced(TaskEvent):
    """A piece of long work has got `amount` units further."""

    amount: int


@dataclass(frozen=True)
class StepFinished(TaskEvent):
    """A piece of long work is over."""


@dataclass(frozen=True)
class EpochFinished(TaskEvent):
    """A training epoch is over; losses in bits per dimension."""

    model: str
    dataset: str
    seed: int
    epoch: int
    train_bits_per_dim: float
    seconds: float


@dataclass(frozen=True)
class JobFinished(TaskEvent):
    """A job of the plan is done."""

    job: str


@dataclass(frozen=True)
class JobFailed(TaskEvent):
    """A job of the plan cannot be done; `details` is the traceback for the log."""

    job: str
    message: str
    details: str = ""


@dataclass(frozen=True)
class Postponed(TaskEvent):
    """A task has done nothing, because another run is at its work; it is to be run again."""


@dataclass(frozen=True)
class Message(Event):
    """Something the user should know, such as damage that was mended."""

    text: str


@dataclass(frozen=True)
class CellKnown(Event):
    """What the AUROC of a cell will be, while the run goes on; `CellFinished` is the result."""

    model: str
    in_dataset: str
    out_dataset: str
    scorer: str
    epoch: int
    group_size: int
    seed: int
    auroc: float


@dataclass(frozen=True)
class CellFinished(Event):
    """A cell has its result: one row of `bench report --format json`."""

    result: dict[str, Any]


@dataclass(frozen=True)
class RunFinished(Event):
    """A run is over: how many cells ended with each status."""

    suite: str
    statuses: dict[str, int]


Report = Callable[[Event], None]
