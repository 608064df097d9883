"""Commands: listed without being imported, imported when called, added by plugins."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest
import typer
from typer.testing import CliRunner

from harness.cli.app import COMMANDS, app

ROWS = [
    (group, name, *row) for group, commands in COMMANDS.items() for name, row in commands.items()
]


@pytest.mark.parametrize(("group", "name", "path", "text"), ROWS)
def test_the_table_has_the_first_line_of_each_command(group, name, path, text):
    module, function = path.split(".")
    found = getattr(import_module(f"harness.cli.{module}"), function)
    assert inspect.getdoc(found).splitlines()[0] == text
    words = [name] if group == "bench" else [group, name]
    shown = CliRunner().invoke(app, [*words, "--help"]).stdout
    assert f"Usage: bench {' '.join(words)} [OPTIONS]" in shown
    assert " ".join(text.split()) in " ".join(shown.split())


@pytest.mark.parametrize("group", COMMANDS)
def test_help_lists_every_command_in_order_and_imports_none(group):
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(sorted(m for m in sys.modules if 's.cli' in m)))\n"
        "from oodbench._start import main\n"
        f"sys.argv = ['bench', *{[] if group == 'bench' else [group]}, '--help']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    *shown, modules = done.stdout.splitlines()
    ours = [f"harness.cli{name}" for name in ("", ".app", ".interrupts", ".output")]
    assert modules == str(ours)
    rows = [line.split() for line in shown[shown.index("Commands:") + 1 :] if line[2:3].strip()]
    assert [row[0] for row in rows][: len(COMMANDS[group])] == list(COMMANDS[group])


def test_commands_of_plugins_are_listed_and_take_the_place_of_ours():
    own = typer.Typer(name="bench", cls=app.info.cls, rich_markup_mode=None)
    own.add_typer(typer.Typer(help="More."), name="store", cls=app.info.cls)

    @own.command("hello")
    def hello(name: str) -> None:
        """Greet somebody."""
        print(f"hello {name}")

    @own.command("doctor")
    def doctor() -> None:
        """Ask another doctor."""
        print("all is well")

    shown = CliRunner().invoke(own, ["--help"]).stdout
    listed = [line.split()[0] for line in shown.partition("Commands:\n")[2].splitlines() if line]
    assert listed == [*COMMANDS["bench"], "hello", "store"]
    assert "Greet somebody." in shown
    assert "Ask another doctor." in shown
    assert CliRunner().invoke(own, ["hello", "you"]).stdout == "hello you\n"
    assert CliRunner().invoke(own, ["doctor"]).stdout == "all is well\n"
    missing = CliRunner().invoke(own, ["helo"])
    assert missing.exit_code == 2
    assert "No such command 'helo'" in missing.output
