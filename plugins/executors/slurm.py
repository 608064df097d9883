"""An executor that runs each worker as an element of a Slurm array."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from oodbench import BenchError, Event, Task
from oodbench.events import Message
from oodbench.workers import FollowedLogs
from plugins.executors.slurm_queue import Array, submit
from plugins.executors.slurm_script import array_script, quoted

PAUSE = 1.0
"""Time between two looks at the event logs, in seconds."""
SHORTEST, LONGEST = 1.0, 30.0
"""Time between two questions to the queue: it doubles from the shortest to the longest."""


class Slurm:
    """Submits one array whose elements are workers, and follows the workers' progress.

    The command may be left with Ctrl-C: the array goes on, and the same command follows it again.
    All machines need the same paths to the suite, the store, the data and Python. An element that
    is preempted, or whose time is over, stores its progress and is queued again.

    Arguments:
        workers: Number of elements of the array; one for each training by default.
        limit: Maximum number of elements at a time; 0 for no limit.
        partition: Partition of the cluster; empty for the cluster's default.
        account: Account to charge; empty for the user's default.
        qos: Quality of service; empty for the default.
        time: Maximum time of an element, such as "04:00:00"; empty for the partition's default.
        memory: Memory of an element, such as "16G"; empty for the cluster's default.
        gpus: GPUs of an element: a number, or kind and number, such as "a100:1".
        sbatch: Further options of sbatch, each as on its command line, such as "--exclusive".
        setup: Lines of shell before a worker starts, such as "module load cuda".
    """

    elsewhere = True

    def __init__(
        self,
        *,
        workers: int = 1,
        limit: int = 0,
        partition: str = "",
        account: str = "",
        qos: str = "",
        time: str = "",
        memory: str = "",
        gpus: int | str = 0,
        sbatch: tuple[str, ...] = (),
        setup: tuple[str, ...] = (),
    ) -> None:
        del workers  # the number of tasks
        given = {
            "partition": partition,
            "account": account,
            "qos": qos,
            "time": time,
            "mem": memory,
            "gres": f"gpu:{gpus}" if gpus else "",
        }
        for line in sbatch:
            if not line.startswith("-") or "\n" in line:
                raise BenchError(f"sbatch: {line!r} is not an option, such as '--exclusive'")
        self.limit, self.setup = limit, setup
        self.directives = [f"--{name}={quoted(text)}" for name, text in given.items() if text]
        self.directives += sbatch

    def script(self, tasks: Sequence[Task]) -> str:
        """Return the script that `run` submits.

        Raises:
            BenchError: The suite is not in a file.
        """
        name = f"bench-{tasks[0].folder.parent.name}"
        return array_script(tasks, name, self.limit, self.directives, self.setup)

    def run(self, tasks: Sequence[Task], report: Callable[[Event], None]) -> None:
        """Submit the array, unless it is in the queue, and follow it until it has ended.

        Raises:
            BenchError: The suite is not in a file, or Slurm refuses the script.
        """
        text, own = self.script(tasks), tasks[0].folder
        folder = own.parent / f"slurm-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        logs = FollowedLogs(own)
        array = _find(folder)
        if array is None:
            array = _submit(folder, text)
            report(Message(f"submitted {_described(array, folder)}"))
        else:
            report(Message(f"following {_described(array, folder)}"))
        try:
            _follow(array, tasks[0], logs, report)
        except BaseException:
            goes_on = f"Slurm job {array.job} goes on: the same command follows it again"
            report(Message(f"{goes_on}; to end it: scancel {' '.join(array.words)}"))
            raise
        if left := tasks[0].left():
            report(Message(f"Slurm job {array.job} has ended, {left} jobs are left; see {folder}"))


def _described(array: Array, folder: Path) -> str:
    return f"Slurm job {array.job}; script and output: {folder}"


def _find(folder: Path) -> Array | None:
    """Return the array that the same command has submitted, if it is in the queue.

    Raises:
        BenchError: An array was submitted, and Slurm does not say what became of it.
    """
    with suppress(OSError, ValueError, TypeError):
        array = Array(**json.loads((folder / "job.json").read_text(encoding="utf-8")))
        states = array.states()
        if states is None:
            raise BenchError(
                f"squeue does not answer, so Slurm job {array.job} may be in the queue: try "
                f"again, or remove {folder / 'job.json'} to submit another"
            )
        return array if states else None
    return None


def _submit(folder: Path, text: str) -> Array:
    """Write the script into a folder and submit it.

    Raises:
        BenchError: Slurm would take a part of the folder's name for a pattern, or refuses.
    """
    if set(str(folder.absolute())) & set("%\\\n"):
        raise BenchError(f"{folder}: Slurm reads % and \\ in paths as patterns; use another store")
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "array.sh"
    script.write_text(text, encoding="utf-8")
    array = submit(script)
    (folder / "job.json").write_text(json.dumps(array._asdict()), encoding="utf-8")
    return array


def _follow(array: Array, task: Task, logs: FollowedLogs, report: Callable[[Event], None]) -> None:
    """Pass on the events of the workers until no element is in the queue."""
    pause, asked = SHORTEST, time.monotonic()
    while True:
        for event in logs.news():
            report(event)
        if time.monotonic() - asked >= pause:
            states = array.states()
            if states == []:
                break
            if states and set(states) == {"PENDING"} and not task.left():
                array.cancel_pending()
            pause, asked = min(2 * pause, LONGEST), time.monotonic()
        time.sleep(PAUSE)
    for event in logs.news():
        report(event)
