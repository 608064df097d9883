"""Options of executors: in a suite or after `--set`; they change how, never what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import SuiteError
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.run.saved import results_folder
from harness.store.records import Store
from harness.suite import load_suite

PLUGIN = """
from pathlib import Path

from oodbench import Entry, hookimpl


@hookimpl
def bench_executors():
    return [Entry("noted", ":Noted", "runs tasks in turn and notes the options")]


class Noted:
    def __init__(self, *, workers, note: Path = Path("note"), times: int = 1):
        self.text, self.note = f"{workers} workers, {times} times", note

    def run(self, tasks, report):
        self.note.write_text(self.text)
        for task in tasks:
            task(report)
"""


@pytest.fixture
def with_noted(tiny_suite):
    plugin = tiny_suite.with_name("noted.py")
    plugin.write_text(PLUGIN)
    text = tiny_suite.read_text().replace('title = "Tiny"', 'plugins.paths = ["noted.py"]')
    tiny_suite.write_text(text.replace("epochs = [0, 2]", "epochs = [0]"))
    return tiny_suite


def test_an_executor_gets_its_options(with_noted, settings):
    text = with_noted.read_text()
    with_noted.write_text(text + '\n[executors.noted]\nnote = "notes.txt"\ntimes = 2\n')
    suite = load_suite(with_noted, changes=["executors.noted.times=3"])
    run(suite, replace(settings, executor="noted"), lambda event: None)
    assert with_noted.with_name("notes.txt").read_text() == "1 workers, 3 times"  # the suite's


def test_options_of_executors_need_no_table_and_change_no_result(with_noted, settings):
    """Neither the cells, nor the place of their results, nor the title."""
    plain = load_suite(with_noted)
    changed = load_suite(with_noted, changes=["executors.noted.times=3", "title=Tiny"])
    assert changed.changes == ("title=Tiny",)
    changed = load_suite(with_noted, changes=["executors.noted.times=3"])
    assert changed.executors["noted"].options["times"] == 3
    assert changed.title == plain.title
    assert changed.fingerprint() == plain.fingerprint()
    plans = [plan_unopened(suite, settings) for suite in (plain, changed)]
    folders = [results_folder(plan, Store(settings.store)) for plan in plans]
    assert folders[0] == folders[1]


def test_tables_of_included_files_are_merged(with_noted, write_suite):
    write_suite("[executors.noted]\ntimes = 2\n", "cluster.toml")
    text = with_noted.read_text()
    with_noted.write_text('include = ["cluster.toml"]\n' + text + "\n[executors.sequential]\n")
    assert sorted(load_suite(with_noted).executors) == ["noted", "sequential"]
    with_noted.write_text('include = ["cluster.toml"]\n' + text + "\n[executors.noted]\n")
    with pytest.raises(SuiteError, match=r"executors\.noted: defined before, at .*cluster\.toml"):
        load_suite(with_noted)
