"""`bench work`: one worker, which takes work that no other worker holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from harness.api.suites import load
from harness.cli.arguments import (
    AllowMissingOption,
    BatchSizeOption,
    CompileOption,
    DataOption,
    DeviceOption,
    DisplayOption,
    LocksOption,
    OnlyOption,
    PluginOption,
    SetOption,
    StoreOption,
    SuitePath,
    ThreadsOption,
)
from harness.cli.output import tell
from harness.cli.preemption import PREEMPTED, StopRequest
from harness.errors import Interrupted
from harness.events import Event
from harness.settings import BATCH_SIZE
from harness.text import counted


def work(
    suite: SuitePath,
    only: OnlyOption,
    changes: SetOption,
    plugin: PluginOption,
    store: StoreOption,
    data: DataOption,
    share: Annotated[
        str,
        typer.Option(metavar="I/N", help="Begin with part I of N of the work, then go on."),
    ] = "1/1",
    until_done: Annotated[
        bool,
        typer.Option("--until-done", help="Wait for other workers; end when all is done."),
    ] = False,
    device: DeviceOption = "auto",
    batch_size: BatchSizeOption = BATCH_SIZE,
    threads: ThreadsOption = 0,
    compile: CompileOption = False,
    locks: LocksOption = "auto",
    allow_missing: AllowMissingOption = False,
    display: DisplayOption = "auto",
) -> None:
    """Run one of several workers on a suite.

    The worker takes trainings, and statistics of stored checkpoints, one after another, if they
    are neither stored nor held by another worker. It computes no scores: `bench run` and `bench
    report` do. On SIGUSR2, SIGTERM or SIGINT it stores the progress of its training and ends;
    start it again.
    """
    stop = StopRequest()
    try:
        done = load(suite, plugin, changes, only).work(
            store=store,
            data=data,
            share=share,
            until_done=until_done,
            stop=stop,
            device=device,
            batch_size=batch_size,
            threads=threads,
            compile=compile,
            locks=locks,
            allow_missing=allow_missing,
            display=display,
        )
    except Interrupted:
        if not stop.is_preemption:
            raise
        tell(f"asked to end by {stop.name}; progress is stored, so start the same command again")
        raise typer.Exit(PREEMPTED) from None
    failed = f", {done.failed} failed" if done.failed else ""
    print(f"{counted(done.done, 'job')} done here{failed}, {done.left} left")
    raise typer.Exit(done.exit_status)


def work_here(arguments: Sequence[str], report: Callable[[Event], None]) -> None:
    """Be the worker of `bench work ARGUMENTS` in this process, which has no other work.

    Like the command, the worker stores its progress and ends when the process gets a signal.

    Arguments:
        arguments: The words after `bench`.
        report: Called with every event about work, in place of a display.

    Example:
        >>> from oodbench.workers import work_here
        >>> arguments = ["work", "quickstart", "--store", "/shared/store", "--until-done"]
        >>> work_here(arguments, print)  # doctest: +SKIP
    """
    from harness.cli.app import COMMANDS, ListedCommand
    from harness.run.following import is_of_work

    def show(event: Event) -> None:
        if is_of_work(event):
            report(event)

    name, *words = arguments
    options = ListedCommand(name, *COMMANDS["bench"][name]).make_context(name, words).params
    named = [options.pop(key) for key in ("suite", "plugin", "changes", "only")]
    try:
        load(*named).work(**{**options, "display": show, "stop": StopRequest()})
    except Interrupted:
        return
