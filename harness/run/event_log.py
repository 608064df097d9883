"""Event log: the events during a run, in a file `events.jsonl` in a separate folder per run.

Each line is a JSON object with `v` (format version), `time` (UTC, ISO 8601), `event` (name) and
the fields of the event. Lines are appended, each with a single write, and never changed; a kill
can therefore damage only the last line.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

from harness.errors import StoreError
from harness.events import CellFinished, Event, RunFinished, RunStarted, StepAdvanced
from harness.store.layout import RUNS

NAME = "events.jsonl"
VERSION = 1


def new_run_folder(store: Path, suite: str) -> Path:
    """Return `STORE/runs/SUITE/TIME-PROCESS-RANDOM`, a unique path per run; no folder is created.

    Machines that share the store may have processes with the same number.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return store / RUNS / suite / f"{now}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def event_json(event: Event) -> dict[str, Any]:
    """Convert an event to plain data: name and fields."""
    return {"event": type(event).__name__, **asdict(event)}


class EventLog:
    """Writes the events of a run from start to end; a context manager.

    Events before the start are written too, once the folder is known. Progress within a step is
    left out, because the log contains start and end. Provenance is left out, because the results
    contain the provenance. If the file cannot be written, the run continues without a log.

    Arguments:
        warn: Called with a message if the file cannot be written.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.warn = warn
        self.before: list[str] = []
        self.file: TextIO | None = None

    def __enter__(self) -> Self:
        """Return the log; nothing is written yet."""
        return self

    def __exit__(self, *details: object) -> None:
        """Close the file, also if the run has not finished."""
        self._close()

    def __call__(self, event: Event) -> None:
        """Append an event."""
        if isinstance(event, StepAdvanced):
            return
        try:
            if isinstance(event, RunStarted) and event.folder:
                self._open(Path(event.folder))
            self._append(_line(event))
        except OSError as error:
            self._close()
            self.warn(f"the events of this run are no longer kept: {error}")
        if isinstance(event, RunFinished):
            self._close()

    def _open(self, folder: Path) -> None:
        before = list(self.before)
        self._close()
        folder.mkdir(parents=True, exist_ok=True)
        self.file = (folder / NAME).open("a", encoding="utf-8", newline="\n")
        for line in before:
            self._append(line)

    def _append(self, line: str) -> None:
        if self.file is None:
            self.before.append(line)
            return
        self.file.write(line)
        self.file.flush()

    def _close(self) -> None:
        self.before.clear()
        if self.file is not None:
            file, self.file = self.file, None
            with suppress(OSError):  # a failed write has been reported before
                file.close()


def _line(event: Event) -> str:
    if isinstance(event, CellFinished):
        kept = {name: value for name, value in event.result.items() if name != "provenance"}
        event = replace(event, result=kept)
    fields = event_json(event)
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"v": VERSION, "time": now, **fields}) + "\n"


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events in a file, in order; a last line torn by a kill is skipped.

    Raises:
        StoreError: Another line is not an event, or the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    *lines, torn = content.split(b"\n")
    del torn  # empty where the last line is whole
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{path}:{number}: not an event: {error}") from error
        if not isinstance(value, dict) or value.get("v") != VERSION:
            raise StoreError(f"{path}:{number}: not an event with version {VERSION}")
        yield value
