"""Commands that need stored results name the store in which there are none."""

from __future__ import annotations

import pytest
import tomli_w
from typer.testing import CliRunner

from harness.cli.app import app


@pytest.fixture
def asked(tiny_suite, tmp_path, monkeypatch):
    """Run a command with the suite and an empty store; return all that is told."""
    monkeypatch.chdir(tmp_path)
    pins = {"format": 1, "suite": "tiny.toml", "cells": []}
    (tmp_path / "no-pins.toml").write_text(tomli_w.dumps(pins))

    def ask(*arguments):
        done = CliRunner().invoke(app, [*arguments, "--store", "elsewhere"])
        return f"{done.output}{done.exception or ''}"

    return ask


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "tiny.toml"],
        ["pin", "tiny.toml"],
        ["verify", "tiny.toml", "--pins", "no-pins.toml"],
        ["compare", "tiny.toml", "tiny.toml"],
    ],
)
def test_the_store_is_named(asked, tmp_path, arguments):
    expected = (
        f"no results of tiny.toml are stored in {tmp_path / 'elsewhere'}; run: bench run tiny.toml"
    )
    assert expected in asked(*arguments)


def test_the_command_has_the_same_plugins_and_values(asked):
    told = asked("report", "tiny.toml", "-p", "no:executors", "--set", "title=A b")
    assert "run: bench run tiny.toml --plugin=no:executors '--set=title=A b'" in told


def test_an_export_names_the_store(asked, tmp_path):
    told = asked("store", "export", "tiny.toml", "out.tar")
    assert f"nothing of tiny is stored in {tmp_path / 'elsewhere'}" in told
