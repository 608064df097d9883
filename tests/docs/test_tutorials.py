"""The commands and suites in the tutorials work as printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from harness.cli.app import app
from harness.suite import load_suite

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"


def page(name):
    return TUTORIALS.joinpath(name).read_text(encoding="utf-8")


def test_the_first_suite_is_valid(write_suite):
    (text,) = re.findall(r"```toml\n(.*?)```", page("first-suite.md"), re.DOTALL)
    suite = load_suite(write_suite(text))
    (comparison,) = suite.suite.comparisons
    assert suite.out_datasets(comparison, "mine") == ("noise",)


def test_own_data_takes_the_place_of_the_first_suites_data(write_suite):
    (first,) = re.findall(r"```toml\n(.*?)```", page("first-suite.md"), re.DOTALL)
    (own,) = re.findall(r"```toml\n(.*?)```", page("own-data.md"), re.DOTALL)
    start, end = first.index("[datasets.mine]"), first.index("[datasets.noise]")
    suite = load_suite(write_suite(first[:start] + own + first[end:]))
    assert {"mine", "scans"} <= set(suite.datasets)


def test_the_commands_lead_to_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = dict(
        re.findall(r"<!-- (.*?) -->\n```\w+\n(.*?)```", page("own-scorer.md"), re.DOTALL)
    )
    Path("mine.toml").write_text(blocks["mine.toml"])
    for line in blocks["commands"].splitlines():
        command = shlex.split(line)[1:]
        if command[0] == "run":
            command += ["--display", "none", "--executor", "sequential"]
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert re.search(r"^my-scorer +1 +\d", done.output, re.MULTILINE)
    assert "flow, in-distribution stripes" in done.output
