"""Listeners: plugins that are told what happens in a run."""

from __future__ import annotations

from collections.abc import Callable

from harness import events
from harness.events import Event
from harness.registry import Registry

HOOKS: dict[type[Event], str] = {
    events.RunStarted: "bench_run_started",
    events.EpochFinished: "bench_epoch_finished",
    events.CellFinished: "bench_cell_finished",
    events.RunFinished: "bench_run_finished",
}


def tell_listeners(registry: Registry, event: Event, log: Callable[[str], None]) -> None:
    """Pass an event on to every plugin that listens; their failures are logged, no more."""
    hook = HOOKS.get(type(event))
    if hook is None:
        return
    for source, function in registry.implementations(hook):
        try:
            function(event=event)
        except Exception as error:
            log(f"{hook} of plugin {source} failed: {type(error).__name__}: {error}")
