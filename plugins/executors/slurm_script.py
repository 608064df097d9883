"""The script of an array of workers, for `sbatch`."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence

from oodbench import BenchError, Task

NOTICE = 120
"""Time between the signal and the end of an element's time, in seconds."""
PREEMPTED = 75
"""Exit status of `bench work` after the signal, once its progress is stored."""

SCRIPT = """\
#!/bin/bash
{directives}

# Each element of the array is a worker on the same store: what is stored is done.
cd {folder} || exit
{setup}
# Slurm signals this shell {notice} seconds before the end of the element's time. The worker then
# stores the progress of its training and ends, and the element is queued again.
pass_on() {{ heard=yes; kill -s "$1" "$worker" 2>/dev/null; }}
trap 'again=yes; pass_on USR2' USR2
trap 'pass_on TERM' TERM
{worker} &
worker=$!
while heard=; wait "$worker"; status=$?; [ -n "$heard" ]; do :; done
if [ -n "${{again:-}}" ] && [ "$status" -ne 0 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
"""


def array_script(
    tasks: Sequence[Task], name: str, limit: int, directives: Sequence[str], setup: Sequence[str]
) -> str:
    """Return the script of an array with an element for each worker.

    Arguments:
        tasks: The workers; they differ in `--share` only.
        name: Name of the job.
        limit: Maximum number of elements at a time; 0 for no limit.
        directives: Options of sbatch, each as on its command line.
        setup: Lines of shell before the worker starts.

    Raises:
        BenchError: No command can start the workers, because the suite is not in a file.
    """
    at_once = f"%{limit}" if limit else ""
    lines = [
        f"--job-name={quoted(name)}",
        f"--array=1-{len(tasks)}{at_once}",
        f"--cpus-per-task={tasks[0].threads}",
        "--requeue",
        "--open-mode=append",
        f"--signal=B:USR2@{NOTICE}",
        "--output=%a.log",
        *directives,
    ]
    return SCRIPT.format(
        directives="\n".join(f"#SBATCH {line}" for line in lines),
        folder=shlex.quote(os.getcwd()),
        setup="".join(f"{line}\n" for line in setup),
        notice=NOTICE,
        worker=_worker(tasks),
    )


def _worker(tasks: Sequence[Task]) -> str:
    """Return the shell command of an element, in which the number of the element is the share."""
    if tasks[0].command is None:
        raise BenchError("workers on other machines need a suite in a file: save it as TOML")
    words = list(tasks[0].command)
    words.remove("--until-done")  # a worker without work would hold its processors or its GPU
    quoted_words = [shlex.quote(word) for word in [sys.executable, "-P", "-m", "oodbench", *words]]
    share = quoted_words.index("--share") + 1
    quoted_words[share] = f'"$SLURM_ARRAY_TASK_ID/{len(tasks)}"'
    return " ".join(quoted_words)


def quoted(value: str) -> str:
    r"""Quote a value for a line `#SBATCH`, which has rules of its own.

    Raises:
        BenchError: The value has a line break, which no quotes protect.

    Example:
        >>> from plugins.executors.slurm_script import quoted
        >>> print(quoted("gpu"), quoted('a "b" c'))
        gpu "a \"b\" c"
    """
    if "\n" in value:
        raise BenchError(f"{value!r} has a line break, which a line #SBATCH cannot hold")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
