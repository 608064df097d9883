"""The contract of executors, with optional capabilities, and of the tasks that executors run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from harness.events import Event


class Executor(Protocol):
    """A way to run workers. The constructor takes `workers`, the maximum at once.

    Example:
        >>> from oodbench import Executor
        >>> class InOrder:
        ...     def __init__(self, workers):
        ...         self.workers = workers
        ...
        ...     def run(self, tasks, report):
        ...         for task in tasks:
        ...             task(report)
        >>> executor: Executor = InOrder(workers=1)
        >>> executor.run([lambda report: report("done")], print)
        done
    """

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> None:
        """Run every worker and pass on each event immediately.

        A worker deals with failures of its work by itself. If its process dies, the executor
        reports `JobFailed` with the task of the last `WorkTaken`, and may start the same worker
        again: the work of a dead worker is free at once, and a run leaves work at which two
        workers died.
        """


@runtime_checkable
class RunsElsewhere(Protocol):
    """Optional executor capability: its workers run on other machines, not on this one.

    So the number of processors here means nothing: without `--workers` there is a worker for each
    training, and without `--threads` a worker has the threads in `$OMP_NUM_THREADS`, else one.

    Example:
        >>> from oodbench import RunsElsewhere
        >>> class Cluster:
        ...     elsewhere = True
        >>> isinstance(Cluster(), RunsElsewhere)
        True
    """

    @property
    def elsewhere(self) -> bool:
        """True; usually a class attribute `elsewhere = True`."""


@runtime_checkable
class WritesScript(Protocol):
    r"""Optional executor capability: workers are started by a script, which people may read.

    Example:
        >>> from oodbench import WritesScript
        >>> class Scripted:
        ...     def script(self, tasks):
        ...         return "".join(f"bench {' '.join(task.command)}\n" for task in tasks)
        >>> isinstance(Scripted(), WritesScript)
        True
    """

    def script(self, tasks: Sequence[Task]) -> str:
        """Return the script that `run` would start; nothing is started."""


class Task(Protocol):
    """A picklable worker: it does what is left to do in a run, one piece of work after another.

    Workers divide the work through the store and do not communicate with each other. A worker ends
    when all work is done, by this worker or by other workers.

    Example:
        >>> from pathlib import Path
        >>> from oodbench import Task
        >>> from oodbench.events import Message
        >>> class Greeting:
        ...     name = "worker 1"
        ...     command = None
        ...     threads = 1
        ...     folder = Path("bench-store/runs/suite/1")
        ...
        ...     def left(self):
        ...         return 1
        ...
        ...     def __call__(self, report):
        ...         report(Message("hello"))
        >>> task: Task = Greeting()
        >>> task(print)
        Message(text='hello')
    """

    @property
    def name(self) -> str:
        """Name in displays and messages."""

    @property
    def command(self) -> Sequence[str] | None:
        """Arguments of `bench` that start this worker on a machine with the same store.

        None if no command can, because the suite was made in memory.
        """

    @property
    def threads(self) -> int:
        """Number of threads of the worker; another number changes rounding."""

    @property
    def folder(self) -> Path:
        """Folder of the run in the store; other runs and workers of the suite are beside it."""

    def left(self) -> int:
        """Count the jobs of the run that are not stored, by a look into the store."""

    def __call__(self, report: Callable[[Event], None]) -> None:
        """Work until everything is done, and report events along the way."""
