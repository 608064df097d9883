"""The `bench` command: all subcommands, and the exit status for every kind of ending."""

from __future__ import annotations

import logging
import sys
import traceback
from importlib import import_module
from importlib.metadata import version as installed_version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from harness.cli.interrupts import Interrupts, command, message
from harness.cli.output import drop_unwritten
from harness.errors import BenchError, Interrupted, PluginError
from harness.registry.registry import Registry
from harness.store.layout import LOGS
from harness.text import printable
from oodbench._installed import ADVICE, describe_changes, installed_files

INTERNAL_ERROR = 70
FILES_FAILED = 74

COMMANDS = {
    "bench": {
        "run": ("run.run", "Train, evaluate and score a suite."),
        "work": ("work.work", "Run one of several workers on a suite."),
        "plan": ("plan.plan", "List stored and new work."),
        "check": ("check.check", "Try a suite at true size without data."),
        "report": ("report.report", "Print results from stored data."),
        "pin": ("pins.pin", "Write pins/SUITE.toml from stored results."),
        "verify": ("pins.verify", "Compare stored results of SUITE with the pins."),
        "compare": ("compare.compare", "Compare two runs on the examples in both."),
        "list": ("listing.list_entries", "List models, data sets, scorers, ..."),
        "show": ("listing.show", "Show a plugin entry with all options."),
        "doctor": ("doctor.doctor", "Examine Python, torch, devices, folders and plugins."),
        "schema": ("listing.schema", "Print the JSON Schema for suites."),
    },
    "detector": {
        "make": ("detector.make", "Write a detector from stored results of a suite."),
        "run": ("detector.run", "Score and flag pictures, texts or arrays with a detector."),
    },
    "plugins": {
        "list": ("plugins.list_plugins", "List plugins: active, blocked or broken, and why."),
        "new": ("plugins.new", "Begin a new plugin in the current folder."),
        "check": ("conformance.check", "Check a plugin with the conformance kit."),
    },
    "data": {
        "list": ("data.list_data", "List data sets: state, size, fingerprint, licence, home."),
        "fetch": ("data.fetch_data", "Download data sets, or explain how to get them."),
        "verify": (
            "data.verify_data",
            "Verify converted data sets by checksums and raw data.",
        ),
    },
    "store": {
        "ls": ("store.list_store", "List stored records and the suites that need them."),
        "fsck": ("store.check", "Verify every checksum in the store."),
        "gc": ("store.collect", "Find unneeded records; --delete removes them."),
        "export": ("store.export", "Write all stored records of a suite to one archive."),
        "import": ("store.import_", "Import an archive made by `bench store export`."),
    },
}
"""Commands by group and name: the function in `harness.cli`, and the first line of the help."""


class ListedCommand(TyperCommand):
    """A command in COMMANDS: `--help` shows the row in the table; a call imports the function."""

    def __init__(self, name: str, path: str, help: str) -> None:
        super().__init__(name, help=help)
        self.path = path

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        """Import the function, and parse the arguments by the function's signature."""
        module, function = self.path.split(".")
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(self.name)(getattr(import_module(f"harness.cli.{module}"), function))
        return typer.main.get_command(alone).make_context(*arguments, **settings)


class Commands(TyperGroup):
    """A group in COMMANDS; a command added by a plugin replaces a command with the same name.

    typer's `list_commands` lists the commands in the table first, then added commands, and groups
    last.
    """

    def __init__(self, *, name: str, commands: dict[str, Any], **settings: Any) -> None:
        listed = {key: ListedCommand(key, *row) for key, row in COMMANDS[name].items()}
        super().__init__(name=name, commands=listed | commands, **settings)


app = typer.Typer(
    name="bench",
    cls=Commands,
    help="Find out which score, on which deep generative model, stopped at which epoch, "
    "separates out-of-distribution from in-distribution inputs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done; 1 some cells failed, report still written; 2 bad suite, option "
    "or plugin, nothing ran; 3 a pinned value or a comparison regressed; 4 nothing selected; "
    "70 internal error; 74 files cannot be written or read (a full disk, for example); 75 a "
    "worker was asked to end; 130 interrupted; after 74, 75 and 130 the same command resumes.",
)
for _name, _help in {
    "detector": "Detectors: make one from a suite, score files with it.",
    "plugins": "Plugins: list, begin and check plugins.",
    "data": "Data sets: list, download, verify.",
    "store": "The store: list, verify, tidy up, move results.",
}.items():
    app.add_typer(typer.Typer(help=_help), name=_name, cls=Commands)


def _print_version(value: bool) -> None:
    if value:
        print(f"bench {installed_version('oodbench')}")
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
    """Define the options of `bench` itself."""


def main() -> None:
    """Run the command line; every kind of ending has an exit status."""
    interrupts = Interrupts()
    try:
        try:
            _add_plugin_commands()
            app()
        finally:
            sys.stdout.flush()
    except BaseException as error:
        interrupts.stop()
        sys.exit(_exit_status(Interrupted() if interrupts.were_heard else error))


def _exit_status(error: BaseException) -> Any:
    """Report why the command ends, and return the exit status."""
    match error:
        case SystemExit():
            return error.code
        case Interrupted():
            print(message(), file=sys.stderr)
            return error.exit_status
        case BenchError():
            print(f"bench: {printable(str(error))}", file=sys.stderr)
            return error.exit_status
        case OSError():
            return _files_failed(error)
        case ModuleNotFoundError():
            return _module_not_found(error)
    return _internal_error(error)


def _add_plugin_commands() -> None:
    """Let installed plugins add commands; a plugin that fails is named and skipped."""
    blocked = [name for name in sys.argv if name.startswith("no:")]  # before arguments are read
    try:
        registry = Registry(blocked)
    except PluginError:
        return  # the command itself will report the error
    for source, function in registry.implementations("bench_commands"):
        try:
            function(app=app)
        except Exception as error:
            logging.getLogger("bench").warning("commands of plugin %s: %s", source, error)


def _files_failed(error: OSError) -> int:
    """Report a file-system error; stored results are unaffected."""
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    drop_unwritten()
    _log_traceback(error)
    print(f"bench: {what}; after fixing this, resume with: {command()}", file=sys.stderr)
    return FILES_FAILED


def _module_not_found(error: ModuleNotFoundError) -> int:
    """Report a missing torch: reports and comparisons work without, everything else needs it."""
    if error.name not in ("torch", "torchvision"):
        return _internal_error(error)
    print(f"bench: this command needs {error.name}, which is not installed", file=sys.stderr)
    return BenchError.exit_status


def _internal_error(error: BaseException) -> int:
    where = _log_traceback(error) or "".join(traceback.format_exception(error))
    if changes := describe_changes(installed_files()):
        where = f"{changes}; {ADVICE}; {where}"
    print(f"bench: internal error: {type(error).__name__}: {error}; {where}", file=sys.stderr)
    return INTERNAL_ERROR


def _log_traceback(error: BaseException) -> str:
    """Write the traceback to a log; return a note with the path, or empty on failure."""
    try:
        # Imported here, because only errors need these modules and `bench --help` does not.
        from harness.settings import default_store
        from harness.store.records import replace_file

        path = default_store() / LOGS / "internal-error.log"
        replace_file(path, "".join(traceback.format_exception(error)).encode())
    except (ImportError, OSError):
        return ""
    return f"the traceback is in {path}"
