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
            "one task after the other in this process",
            version="1",
        ),
        Entry(
            "processes",
            "plugins.executors.processes:Processes",
            "a process of its own for each task, several at a time",
            version="1",
        ),
    ]
