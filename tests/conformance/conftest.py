"""The command line on plugins that a test plants."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from oodbench.testing import Check

PLUGIN = """
from oodbench import Entry, hookimpl


@hookimpl
def bench_{kind}():
    return [Entry("planted", "planted_plugin:target", "")]
"""


@pytest.fixture
def examine(tmp_path, monkeypatch):
    """`bench plugins check` on a file whose one entry is the target: exit status and checks."""

    def run(kind, target, *arguments):
        module = ModuleType("planted_plugin")
        module.target = target
        monkeypatch.setitem(sys.modules, "planted_plugin", module)
        path = tmp_path / "planted.py"
        path.write_text(PLUGIN.format(kind=kind))
        command = ["plugins", "check", str(path), "--json", *arguments]
        result = CliRunner().invoke(app, command, catch_exceptions=False)
        (entry,) = json.loads(result.stdout)
        assert (entry["name"], entry["kind"]) == ("planted", kind)
        return result.exit_code, [Check(**check) for check in entry["checks"]]

    return run
