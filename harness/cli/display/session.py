"""Session of a computing command: display, event log, listening plugins and text log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from harness import events
from harness.cli.display.displays import Guarded, Shown, make_display
from harness.cli.display.progress import headline
from harness.events import Event
from harness.registry.registry import Registry, tell_listeners
from harness.run.event_log import EventLog
from harness.store.records import is_refusal


def _open_log(path: Path) -> TextIO:
    """Open a log for appending; nothing is kept if the store is read-only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a", encoding="utf-8")
    except OSError as error:
        if not is_refusal(error):
            raise
        return open(os.devnull, "w", encoding="utf-8")


@contextmanager
def session(
    registry: Registry, display: Shown, log_path: Path
) -> Iterator[Callable[[Event], None]]:
    """Yield a function that reports events to the display, the event log and plugins.

    Failures also go to the text log, with tracebacks; a read-only store has no log.

    Arguments:
        registry: Plugins to tell about events; broken plugins are reported first.
        display: Kind of display, or a function that is called with each event.
        log_path: Text log; new lines are appended.
    """
    with (
        make_display(display) as show,
        _open_log(log_path) as log,
        EventLog(lambda text: guarded(events.Message(text))) as keep,
    ):

        def write(line: str) -> None:
            log.write(line.rstrip() + "\n")
            log.flush()

        guarded = Guarded(show, write)

        def report(event: Event) -> None:
            guarded(event)
            keep(event)
            tell_listeners(registry, event, write)
            if isinstance(event, events.JobFailed):
                write(f"{headline(event)}\n{event.details}")

        for broken in registry.broken:
            report(events.Message(str(broken)))
        yield report
