"""`bench`: its commands, and how every one of them ends."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated, Any

import typer

from harness.cli import (
    check,
    compare,
    data,
    listing,
    pin,
    plan,
    report,
    run,
    schema,
    show,
    verify,
)
from harness.errors import BenchError, Interrupted, PluginError
from harness.registry import Registry

INTERNAL_ERROR = 70

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
    "130 interrupted, the same command resumes.",
)
plugins_app = typer.Typer(help="Plugins: active, blocked, broken.")

app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("check")(check.check)
app.command("report")(report.report)
app.command("pin")(pin.pin)
app.command("verify")(verify.verify)
app.command("compare")(compare.compare)
app.command("list")(listing.list_entries)
app.command("show")(show.show)
app.command("schema")(schema.schema)
plugins_app.command("list")(listing.list_plugins)
app.add_typer(plugins_app, name="plugins")
app.add_typer(data.app, name="data")


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
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except Exception as error:
        sys.exit(_internal_error(error))


def _interrupt(number: int, frame: FrameType | None) -> Any:
    raise Interrupted


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


def _internal_error(error: Exception) -> int:
    from harness.settings import default_store
    from harness.store import replace_file

    text = "".join(traceback.format_exception(error))
    path = default_store() / "logs" / "internal-error.log"
    try:
        replace_file(path, text.encode())
        where = f"the traceback is in {path}"
    except OSError:
        where = text
    print(f"bench: internal error: {type(error).__name__}: {error}; {where}", file=sys.stderr)
    return INTERNAL_ERROR
