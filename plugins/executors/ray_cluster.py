"""The executor `ray` runs the workers as tasks of a Ray cluster."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from oodbench import BenchError, EpochFinished, Event, JobFailed, Task, WorkTaken
from oodbench.events import JobFinished, Message

PAUSE = 0.2
"""Time between two looks at the events of the workers, in seconds."""
MOST_DEATHS = 5
"""Number of workers that may die one after the other without progress in between."""
QUIET = {"log_to_driver": False, "logging_level": "error"}


class RayCluster:
    """Runs each worker as a task of Ray, on machines that share a file system.

    Ray retries nothing: a worker that dies, alone or with its machine, is started again here, and
    goes on with what is not stored. All machines need the same paths to the suite, the store, the
    data and Python.

    Arguments:
        workers: Number of workers; one for each training by default. Ray starts as many at a time
            as the cluster has processors and GPUs for.
        address: Address of a running cluster; by default `$RAY_ADDRESS`, else a cluster is started
            on this machine, for this run.
        gpus: GPUs of a worker; may be a fraction.
    """

    elsewhere = True

    def __init__(self, *, workers: int = 1, address: str = "", gpus: float = 0.0) -> None:
        del workers  # the number of tasks
        self.address, self.gpus = address, gpus

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> None:
        """Run every worker until everything is done, and report all events.

        Raises:
            BenchError: Ray is not installed, the cluster cannot be reached, or the suite is not in
                a file.
        """
        if any(task.command is None for task in tasks):
            raise BenchError("workers on other machines need a suite in a file: save it as TOML")
        ray = _imported()
        is_ours = not ray.is_initialized()
        if is_ours:
            _connect(ray, self.address)
        try:
            _Workers(ray, self.gpus, report).run(tasks)
        finally:
            if is_ours:
                ray.shutdown()


def _imported() -> Any:
    # Under `uv run`, Ray would start its processes by `uv run` in a copy of the current folder,
    # where no environment is. All machines have the environment of this process. Ray reads the
    # variable when it is imported.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
        import ray.util.queue
        import ray.util.scheduling_strategies
    except ModuleNotFoundError as error:
        raise BenchError(
            f"the executor 'ray' needs the package {error.name}: install the extra `ray` of the "
            "wheel, or pip install 'ray>=2.60,<3'"
        ) from error
    return ray


def _connect(ray: Any, address: str) -> None:
    """Connect to a cluster, and keep the handlers of signals, which Ray replaces.

    Raises:
        BenchError: The cluster cannot be reached.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address=address or None, **QUIET)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        where = address or os.environ.get("RAY_ADDRESS") or "of this machine"
        raise BenchError(f"the Ray cluster {where} cannot be reached: {error}") from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _Workers:
    """The workers of a run: started, followed, and started again after a death."""

    def __init__(self, ray: Any, gpus: float, report: Callable[[Event], None]) -> None:
        self._ray, self._gpus, self._report = ray, gpus, report
        here = ray.get_runtime_context().get_node_id()
        stay = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        # On the machine of this process: the events must outlive any other machine.
        options = {"num_cpus": 0, "scheduling_strategy": stay}
        self._events = ray.util.queue.Queue(actor_options=options)
        self._running: dict[Any, Task] = {}
        self._taken: dict[str, str] = {}
        self._deaths = 0

    def run(self, tasks: Sequence[Task]) -> None:
        """Run the workers to their ends; when this is interrupted, they store their progress."""
        try:
            for task in tasks:
                self._start(task)
            while self._running:
                ended, _ = self._ray.wait(list(self._running), timeout=PAUSE)
                self._pass_on()
                for reference in ended:
                    self._end(reference, self._running.pop(reference))
        except BaseException:
            for reference in self._running:
                self._ray.cancel(reference)
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=5.0)
            raise

    def _start(self, task: Task) -> None:
        resources = {"num_cpus": task.threads, "num_gpus": self._gpus}
        # A process does one task, whose end frees the memory of the GPU.
        remote = self._ray.remote(max_retries=0, max_calls=1, **resources)(_worker())
        arguments = (task.name, list(task.command or ()), os.getcwd(), self._events)
        self._running[remote.remote(*arguments)] = task

    def _pass_on(self) -> None:
        for worker, content in self._events.get_nowait_batch(self._events.qsize()):
            event = pickle.loads(content)
            if isinstance(event, WorkTaken):
                self._taken[worker] = event.task
                event = replace(event, worker=worker)
            if isinstance(event, EpochFinished | JobFinished):
                self._deaths = 0
            self._report(event)

    def _end(self, reference: Any, task: Task) -> None:
        """Look at how a worker ended; start a dead one again."""
        errors = self._ray.exceptions
        try:
            self._ray.get(reference)
        except errors.RayTaskError as error:
            self._report(JobFailed(task.name, task.name, str(error.cause), str(error)))
        except errors.RayError as error:
            self._deaths += 1
            work = self._taken.get(task.name, task.name)
            why = f"its worker died ({type(error).__name__})"
            if self._deaths > MOST_DEATHS:
                self._report(JobFailed(work, work, f"{why}, as did {MOST_DEATHS} before it"))
                return
            self._report(Message(f"{work}: {why}, and is started again"))
            self._start(task)
        else:
            if not task.left():
                self._cancel_all()

    def _cancel_all(self) -> None:
        """Cancel the workers that wait for processors, or that are about to end: all is done."""
        while self._running:
            reference, _ = self._running.popitem()
            self._ray.cancel(reference)


def _worker() -> Callable[[str, list[str], str, Any], None]:
    """Return the task of Ray; a function in a function travels whole, without imports of ours."""

    def work(name: str, command: list[str], folder: str, events: Any) -> None:
        import os
        import pickle
        import time

        from oodbench.events import StepAdvanced
        from oodbench.workers import work_here

        os.chdir(folder)
        waiting: list[tuple[str, bytes]] = []
        sent = time.monotonic()

        def send(event: object) -> None:
            nonlocal sent
            waiting.append((name, pickle.dumps(event)))
            if time.monotonic() - sent > 0.2 or not isinstance(event, StepAdvanced):
                events.put_nowait_batch(waiting)
                waiting.clear()
                sent = time.monotonic()

        work_here(command, send)

    return work
