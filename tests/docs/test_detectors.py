"""The tutorial on detectors: commands and scripts work as printed."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "detectors.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- (.*?) -->\n```\w+\n(.*?)```", TEXT, re.DOTALL))
TRAINED = 0.02
"""Maximum difference between printed AUROCs and those of another machine, as for README."""


def called(line, status=0):
    words = shlex.split(line)[1:]
    if words[0] == "run":
        words += ["--display", "none", "--executor", "sequential", "--threads", "1"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with results, detector, scripts and pictures."""
    place = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name in ("store", "data"):
            patch.setenv(f"BENCH_{name.upper()}", str(place / name))
        for name in ("pictures.py", "use.py"):
            Path(name).write_text(BLOCKS[name])
        called(BLOCKS["results"])
        made = called(BLOCKS["make"])
        runpy.run_path("pictures.py")
    return place, made


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder[0])
    return folder[0]


def test_make_prints_the_table_of_the_page(folder):
    rows = re.compile(r"^ *([a-z-]+) +(0\.\d+|1\.000) +(\d\.\d+) +(\d\.\d+)$", re.MULTILINE)
    printed, shown = rows.findall(folder[1].stdout), rows.findall(TEXT)
    assert [row[0] for row in printed] == [row[0] for row in shown]
    assert len(shown) == 4
    for found, expected in zip(printed, shown, strict=True):
        for one, other in zip(found[1:], expected[1:], strict=True):
            assert abs(float(one) - float(other)) <= TRAINED


def test_few_digits_and_most_photos_are_flagged(here):
    script, digits = BLOCKS["digits"].splitlines()
    assert script == "python pictures.py"
    assert flagged(called(digits)) <= 10
    photos, both = BLOCKS["resize"].splitlines()
    assert flagged(called(photos)) >= 80
    assert called(both).stdout.count("\n") == 201


def flagged(done):
    (share,) = re.findall(r"(\d+) of 100 scores flagged", done.stderr)
    return int(share)


def test_photos_of_another_size_are_refused_as_printed(here):
    found = called(BLOCKS["photos"], status=1)
    (shown,) = re.findall(r"^    (failed: .*?)\n\n", TEXT, re.MULTILINE | re.DOTALL)
    assert " ".join(shown.split()) in found.stderr
    assert "and 50 more failed" in found.stderr


def test_the_script_prints_scores_and_flags(here, capsys):
    runpy.run_path("use.py")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].count("True") + lines[0].count("False") == 3
    assert len(lines) == 201
