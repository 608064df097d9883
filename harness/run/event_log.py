"""The events of a run, kept as `events.jsonl` in a folder of its own.

A line is a JSON object: `v` (version of the format), `time` (UTC, ISO 8601), `event` (its name)
and the fields of that event. Lines are only ever appended, each in one piece, so what a kill can
damage is the last one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

from harness.errors import StoreError
from harness.events import Event, RunFinished, RunStarted, StepAdvanced
from harness.store.layout import RUNS

NAME = "events.jsonl"
VERSION = 1


def new_run_folder(store: Path, suite: str) -> Path:
    """`STORE/runs/SUITE/TIME-PROCESS`, a name that no other run has; nothing is made."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return store / RUNS / suite / f"{now}-{os.getpid()}"


def event_json(event: Event) -> dict[str, Any]:
    """An event in plain data: its name and its fields."""
    return {"event": type(event).__name__, **asdict(event)}


class EventLog:
    """Keeps the events of a run from its start to its end, while it is entered.

    What came before the start is kept too. Progress within a step is not: its start and end are.
    A provenance is not either: it is in the results. Where the file cannot be written, the run
    goes on without.

    Arguments:
        warn: Told if the file cannot be written.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.warn = warn
        self.before: list[str] = []
        self.file: TextIO | None = None

    def __enter__(self) -> Self:
        """Nothing is written yet."""
        return self

    def __exit__(self, *details: object) -> None:
        """Close the file of a run that did not finish."""
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
            with suppress(OSError):  # what could not be written was told before
                file.close()


def _line(event: Event) -> str:
    fields = event_json(event)
    if "result" in fields:
        fields["result"].pop("provenance", None)
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"v": VERSION, "time": now, **fields}) + "\n"


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file, in order; a last line that a kill has torn is left out.

    Raises:
        StoreError: Another line is no event, or the file cannot be read.
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
            raise StoreError(f"{path}:{number}: no event: {error}") from error
        if not isinstance(value, dict) or value.get("v") != VERSION:
            raise StoreError(f"{path}:{number}: no event of version {VERSION}")
        yield value
