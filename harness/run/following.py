"""Events of workers that run elsewhere, read from their event logs in the store."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import events
from harness.events import Event
from harness.run.event_log import NAME
from harness.run.prepare import DATA

KINDS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (*events.TaskEvent.__subclasses__(), events.Message)
}
"""The events of workers, by name, that matter to the run they work for."""


def is_of_work(event: Event) -> bool:
    """Check that an event is about work, not about the process: its start, its data, its end."""
    return type(event) in KINDS.values() and getattr(event, "task", "") != DATA


class FollowedLogs:
    r"""The events that other processes append to their event logs from now on.

    Lines that are in the logs already are passed over. A line is read once it is whole; a line of
    another version, or with an unknown event, is passed over too.

    Arguments:
        own: Folder of this run; the folders beside it have the logs of other runs and workers.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from oodbench.workers import FollowedLogs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     logs = FollowedLogs(Path(folder, "own"))
        ...     log = Path(folder, "worker", "events.jsonl")
        ...     log.parent.mkdir()
        ...     _ = log.write_text('{"v": 1, "event": "Message", "text": "hello"}\n')
        ...     list(logs.news())
        [Message(text='hello')]
    """

    def __init__(self, own: Path) -> None:
        self._own = own
        self._ends = {path: path.stat().st_size for path in self._logs()}
        self._told: set[str] = set()

    def _logs(self) -> list[Path]:
        found = self._own.parent.glob(f"*/{NAME}")
        return sorted(path for path in found if path.parent != self._own)

    def news(self) -> Iterator[Event]:
        """Yield the events since the last call; a message that several workers tell, once."""
        for path in self._logs():
            for line in self._new_lines(path):
                event = _event(line)
                if isinstance(event, events.Message):
                    if event.text in self._told:
                        continue
                    self._told.add(event.text)
                if event is not None and is_of_work(event):
                    yield event

    def _new_lines(self, path: Path) -> list[bytes]:
        start = self._ends.get(path, 0)
        try:
            with path.open("rb") as file:  # anew each time: a shared file system shows more then
                file.seek(start)
                content = file.read()
        except OSError:
            return []  # removed, or unreachable for now
        whole = content[: content.rfind(b"\n") + 1]
        self._ends[path] = start + len(whole)
        return whole.splitlines()


def _event(line: bytes) -> Event | None:
    """Return the event in a line of a log; None for anything else."""
    try:
        fields: dict[str, Any] = json.loads(line)
        kind = KINDS[fields["event"]]
        return kind(**{field.name: fields[field.name] for field in dataclasses.fields(kind)})
    except (ValueError, LookupError, TypeError):
        return None
