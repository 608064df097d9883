"""Functions that call Slurm: they submit an array, list its elements, cancel waiting ones."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from oodbench import BenchError

SECONDS = 60.0
"""Maximum time for a command of Slurm, in seconds."""


class Array(NamedTuple):
    """A submitted array.

    Attributes:
        job: Number of the job.
        cluster: Name of the cluster; empty for the cluster of this machine.
    """

    job: str
    cluster: str = ""

    @property
    def words(self) -> list[str]:
        """Arguments of Slurm's commands that name the array."""
        return [*([f"--clusters={self.cluster}"] if self.cluster else []), self.job]

    def states(self) -> list[str] | None:
        """Return the state of each element in the queue; None if Slurm does not answer."""
        asked = ["squeue", "--noheader", "--array", "--format=%F %T"]
        where = [f"--clusters={self.cluster}"] if self.cluster else []
        # All jobs of the user: a job that has been forgotten is an error when asked for by number.
        status, output, _ = _run([*asked, "--me", *where])
        if status != 0:
            return None
        pairs = (line.split() for line in output.splitlines())
        return [pair[1] for pair in pairs if len(pair) == 2 and pair[0] == self.job]

    def cancel_pending(self) -> None:
        """Cancel the elements that have not begun."""
        _run(["scancel", "--state=PENDING", *self.words])


def submit(script: Path) -> Array:
    """Submit a script, whose folder receives the output of the elements.

    Raises:
        BenchError: There is no Slurm on this machine, or Slurm refuses the script.
    """
    if shutil.which("sbatch") is None:
        raise BenchError(
            "there is no sbatch on the PATH: run the command on a login node of a cluster with "
            "Slurm, or print the script with --dry-run"
        )
    status, output, errors = _run(["sbatch", "--parsable", script.name], script.parent)
    job, _, cluster = output.strip().partition(";")
    if status != 0 or not job:
        said = " ".join(errors.split()) or f"status {status}"
        few = "; fewer --workers make a smaller array" if "array" in said else ""
        raise BenchError(f"sbatch refuses {script}: {said}{few}")
    return Array(job, cluster)


def _run(command: list[str], folder: Path | None = None) -> tuple[int, str, str]:
    """Run a command of Slurm; return the status, the output and the errors."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, "", str(error)
    return done.returncode, done.stdout, done.stderr
