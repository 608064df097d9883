"""The spelling of a suite in commands, read back by the command line."""

from __future__ import annotations

import textwrap
import tomllib
from pathlib import Path

from harness.cli.app import COMMANDS, ListedCommand
from harness.plan.expand import select
from harness.run.command import run_command, spelled, suite_words
from harness.run.workers import work_command
from harness.settings import Share
from harness.suite import build_suite, load_suite
from tests.conftest import TINY_SUITE

CHANGE = "comparisons[0].n_in = 20"
ONLY = ["scorer=typicality", "epoch=2"]


def test_a_worker_is_told_the_plugins_the_values_and_the_selection(
    tiny_suite, settings, monkeypatch
):
    monkeypatch.chdir(tiny_suite.parent)
    suite = select(load_suite(Path(tiny_suite.name), ["no:executors"], [CHANGE]), ONLY)
    words = work_command(suite, settings, 3, Share(1, 4))
    command = ListedCommand("work", *COMMANDS["bench"]["work"])
    options = command.make_context("work", list(words[1:])).params
    assert words[0] == "work"
    assert options["suite"] == tiny_suite  # from any folder
    assert options["plugin"] == ["no:executors"]
    assert options["changes"] == [CHANGE]
    assert sorted(options["only"]) == sorted(ONLY)
    assert (options["store"], options["data"]) == (settings.store, settings.data)
    assert (options["threads"], options["share"], options["until_done"]) == (3, "2/4", True)


def test_a_command_can_be_pasted(tiny_suite, settings, monkeypatch):
    monkeypatch.chdir(tiny_suite.parent)
    suite = load_suite(Path(tiny_suite.name), changes=[CHANGE])
    places = f"--store={settings.store} --data={settings.data}"
    told = run_command(suite, settings, ["epoch=2"])
    assert told == f"bench run tiny.toml '--set={CHANGE}' --only=epoch=2 {places}"
    assert spelled(load_suite(Path("quickstart"))) == "quickstart"


def test_no_command_names_a_suite_made_in_python(settings):
    values = tomllib.loads(textwrap.dedent(TINY_SUITE))
    suite = build_suite(values, "made")
    assert suite_words(suite) is work_command(suite, settings, 1, Share()) is None
    assert run_command(suite, settings) == "suite.run()"
