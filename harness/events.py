"""Events of a run, as values: displays show events, hooks receive events.

Events cross process boundaries, so they hold plain data only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """Base class of all events.

    Example:
        >>> from oodbench import Event, WorkTaken
        >>> isinstance(WorkTaken("glow on digits, epoch 4", "glow on digits", "worker 2"), Event)
        True
    """


@dataclass(frozen=True)
class TaskEvent(Event):
    """Base class of the events of a task, identified by the task name."""

    task: str


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins: the suite, the number of jobs to do and the number of cells to score.

    Attributes:
        folder: Folder for files about the run, in which trackers may write; empty if unavailable.
        only: The selection, a list of `KEY=VALUE`.
        trainings: For each model, ID set and seed: plugin, options, recipe and epochs.
        tables: For each model, ID set and group size: OOD sets, scorers, epochs with
            their unit, and seeds.

    Example:
        >>> from oodbench import RunStarted
        >>> RunStarted("quickstart", jobs=12, cells=288).cells
        288
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
    """A long piece of work begins in a task, with a label and a length in `unit`s.

    Example:
        >>> from oodbench.events import StepStarted
        >>> step = StepStarted("glow on digits", step="epoch 3", total=1438, unit="examples")
        >>> f"{step.task}: {step.step}, {step.total} {step.unit}"
        'glow on digits: epoch 3, 1438 examples'
    """

    step: str
    total: int
    unit: str


@dataclass(frozen=True)
class StepAdvanced(TaskEvent):
    """A long piece of work has advanced by `amount` units.

    Example:
        >>> from oodbench.events import StepAdvanced
        >>> StepAdvanced("glow on digits", amount=64).amount
        64
    """

    amount: int


@dataclass(frozen=True)
class StepFinished(TaskEvent):
    """A long piece of work is over.

    Example:
        >>> from oodbench.events import StepFinished
        >>> StepFinished("glow on digits").task
        'glow on digits'
    """


@dataclass(frozen=True)
class EpochFinished(TaskEvent):
    """A training epoch is over, with its mean loss in bits per dimension.

    People read the loss in `unit`; `loss` is the unit where a loss is no log-probability.

    For a model with an unnormalized likelihood, the loss is no density, and `unit` says so.

    Example:
        >>> from oodbench import EpochFinished
        >>> event = EpochFinished(
        ...     task="glow on digits",
        ...     model="glow",
        ...     dataset="digits",
        ...     seed=0,
        ...     epoch=4,
        ...     train_bits_per_dim=6.8,
        ...     seconds=2.5,
        ... )
        >>> f"epoch {event.epoch}: {event.train_bits_per_dim} {event.unit}"
        'epoch 4: 6.8 bits/dim'
    """

    model: str
    dataset: str
    seed: int
    epoch: int
    train_bits_per_dim: float
    seconds: float
    unit: str = "bits/dim"


@dataclass(frozen=True)
class JobFinished(TaskEvent):
    """A job of the plan is done.

    Example:
        >>> from oodbench.events import JobFinished
        >>> JobFinished("glow on digits", job="epoch 4").job
        'epoch 4'
    """

    job: str


@dataclass(frozen=True)
class JobFailed(TaskEvent):
    """A job of the plan cannot be done; `details` is the traceback for the log.

    Example:
        >>> from oodbench import JobFailed
        >>> JobFailed("glow on digits", job="epoch 4", message="the loss is not finite").message
        'the loss is not finite'
    """

    job: str
    message: str
    details: str = ""


@dataclass(frozen=True)
class JobUnsupported(TaskEvent):
    """A job that the model cannot do by its nature; no later run tries the job again.

    Attributes:
        message: Model, statistic and reason, the same for all jobs with this reason.

    Example:
        >>> from oodbench.events import JobUnsupported
        >>> message = "vae on digits: jacobian_spectrum: needs a flow"
        >>> event = JobUnsupported("vae on digits", "jacobian_spectrum of noise (out)", message)
        >>> event.message
        'vae on digits: jacobian_spectrum: needs a flow'
    """

    job: str
    message: str


@dataclass(frozen=True)
class WorkTaken(TaskEvent):
    """A worker has taken up a piece of work: a training, or the statistics of a checkpoint.

    The task is the name of the piece in all later events.

    Attributes:
        chain: Name of the training that the piece belongs to.
        worker: Name of the worker.

    Example:
        >>> from oodbench import WorkTaken
        >>> WorkTaken("glow on digits, epoch 4", chain="glow on digits", worker="worker 2").chain
        'glow on digits'
    """

    chain: str
    worker: str


@dataclass(frozen=True)
class Message(Event):
    """Information for the user, for example about repaired damage.

    Example:
        >>> from oodbench.events import Message
        >>> Message("a damaged checkpoint was set aside").text
        'a damaged checkpoint was set aside'
    """

    text: str


@dataclass(frozen=True)
class CellKnown(Event):
    """Preview of a cell's AUROC during the run; `CellFinished` has the result.

    Example:
        >>> from oodbench.events import CellKnown
        >>> cell = CellKnown("glow", "digits", "noise", "typicality", 4, 1, 0, auroc=0.982)
        >>> f"{cell.scorer} at epoch {cell.epoch}: {cell.auroc}"
        'typicality at epoch 4: 0.982'
    """

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
    """A cell has a result: a row of `bench report --format json`.

    Example:
        >>> from oodbench import CellFinished
        >>> event = CellFinished({"scorer": "typicality", "epoch": 4, "auroc": 0.982})
        >>> event.result["auroc"]
        0.982
    """

    result: dict[str, Any]


@dataclass(frozen=True)
class RunFinished(Event):
    """A run is over; `statuses` has the number of cells by status.

    Example:
        >>> from oodbench import RunFinished
        >>> RunFinished("quickstart", statuses={"ok": 287, "failed": 1}).statuses["failed"]
        1
    """

    suite: str
    statuses: dict[str, int]


Report = Callable[[Event], None]
