"""`bench`: its commands, and how every one of them ends."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any

import typer

from harness.cli import (
    check,
    compare,
    data,
    doctor,
    listing,
    pins,
    plan,
    plugins,
    report,
    run,
    store,
)
from harness.errors import BenchError, Interrupted, PluginError
from harness.registry.registry import Registry
from harness.text import printable

INTERNAL_ERROR = 70
FILES_FAILED = 74
GRACE_SECONDS = 10.0
"""What an interrupted command may take to clean up."""

app = typer.Typer(
    name="bench",
    help="Which score, on which deep generative model, stopped at which epoch, tells "
    "out-of-distribution inputs from in-distribution ones.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done; 1 some cells failed, report still written; 2 bad suite, option "
    "or plugin, nothing ran; 3 a pinned value or a comparison regressed; 4 nothing selected; "
    "74 files cannot be written or read (a full disk, say); 130 interrupted; after both the same "
    "command resumes.",
)
plugins_app = typer.Typer(help="Plugins: list them, begin one, examine one.")

app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("check")(check.check)
app.command("report")(report.report)
app.command("pin")(pins.pin)
app.command("verify")(pins.verify)
app.command("compare")(compare.compare)
app.command("list")(listing.list_entries)
app.command("show")(listing.show)
app.command("doctor")(doctor.doctor)
app.command("schema")(listing.schema)
plugins_app.command("list")(plugins.list_plugins)
plugins_app.command("new")(plugins.new)
plugins_app.command("check")(plugins.check)
app.add_typer(plugins_app, name="plugins")
app.add_typer(data.app, name="data")
app.add_typer(store.app, name="store")


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"bench {version('oodbench')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Options of `bench` itself."""


def main() -> None:
    """Run the command line; every way it can end has its exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        _add_plugin_commands()
        app()
    except Interrupted as interrupt:
        print(f"\ninterrupted; to resume: {_command()}", file=sys.stderr)
        sys.exit(interrupt.exit_status)
    except BenchError as error:
        print(f"bench: {printable(str(error))}", file=sys.stderr)
        sys.exit(error.exit_status)
    except OSError as error:
        sys.exit(_files_failed(error))
    except Exception as error:
        sys.exit(_internal_error(error))


def _interrupt(number: int, frame: FrameType | None) -> Any:
    if _is_in_finaliser(frame):  # it would swallow the exception
        _alarm(_interrupt, 0.05)
        return
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, _leave_at_once)
    _alarm(_leave_at_once, GRACE_SECONDS)
    raise Interrupted


def _is_in_finaliser(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def _alarm(handler: Callable[[int, FrameType | None], Any], seconds: float) -> None:
    """Call a handler later, where the system can do that."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _leave_at_once(number: int, frame: FrameType | None) -> Any:
    """A second interrupt, or a long clean-up: what is stored is complete at any moment."""
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    os.write(2, f"{show_cursor}\ninterrupted; to resume: {_command()}\n".encode())
    os._exit(Interrupted.exit_status)


def _command() -> str:
    import shlex

    return shlex.join(["bench", *sys.argv[1:]])


def _add_plugin_commands() -> None:
    """Let installed plugins add commands; one that fails is named and left out."""
    blocked = [name for name in sys.argv if name.startswith("no:")]  # before arguments are read
    try:
        registry = Registry(blocked)
    except PluginError:
        return  # the command will say so
    for source, function in registry.implementations("bench_commands"):
        try:
            function(app=app)
        except Exception as error:
            logging.getLogger("bench").warning("commands of plugin %s: %s", source, error)


def _files_failed(error: OSError) -> int:
    """The system refused a file: nobody's mistake here, and nothing stored is lost by it."""
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    _log_traceback(error)
    print(f"bench: {what}; once that is mended, resume: {_command()}", file=sys.stderr)
    return FILES_FAILED


def _internal_error(error: Exception) -> int:
    where = _log_traceback(error) or "".join(traceback.format_exception(error))
    print(f"bench: internal error: {type(error).__name__}: {error}; {where}", file=sys.stderr)
    return INTERNAL_ERROR


def _log_traceback(error: Exception) -> str:
    """Where the traceback is; empty if it cannot be written."""
    from harness.settings import default_store
    from harness.store.records import replace_file

    path = default_store() / "logs" / "internal-error.log"
    try:
        replace_file(path, "".join(traceback.format_exception(error)).encode())
    except OSError:
        return ""
    return f"the traceback is in {path}"
