"""Built-in executors."""

from __future__ import annotations

from collections.abc import Iterable

from oodbench import Entry, hookimpl


@hookimpl
def bench_executors() -> Iterable[Entry]:
    """Return the built-in executors."""
    return [
        Entry(
            "auto",
            "plugins.executors.automatic:automatic",
            "`processes` for several workers, `sequential` for one",
            version="1",
        ),
        Entry(
            "sequential",
            "plugins.executors.sequential:Sequential",
            "runs tasks in turn, in this process",
            version="1",
        ),
        Entry(
            "processes",
            "plugins.executors.processes:Processes",
            "runs several tasks at a time, each in a separate process",
            version="1",
        ),
        Entry(
            "slurm",
            "plugins.executors.slurm:Slurm",
            "submits the workers as a Slurm array, and follows them",
            version="1",
        ),
        Entry(
            "ray",
            "plugins.executors.ray_cluster:RayCluster",
            "runs each worker as a task of a Ray cluster (extra `ray`)",
            version="1",
        ),
    ]
