"""What `bench report` and the end of `bench run` print, at several widths, whole."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from harness.report.render.formats import render
from harness.report.render.terminal import wrapped
from harness.report.summary import summary
from tests.unit.report.render.snapshots import assert_snapshot
from tests.unit.report.story import OUTS, SCORERS, TITLE, story

STYLES = re.compile(r"\x1b\[[0-9;]*m")


def console_of(width=None, **environment):
    """A terminal of a width, or a pipe."""
    options = {"force_terminal": True, "legacy_windows": False} if width else {}
    return Console(
        file=io.StringIO(),
        width=width,
        color_system="standard" if width else None,
        _environ={"TERM": "xterm-256color"} | environment,
        **options,
    )


def shown(console, **options):
    results = story()
    text = render(results, suite="story", title=TITLE, format="table", console=console, **options)
    return text + "\n" + wrapped(summary(results), console)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal(width):
    text = shown(console_of(width))
    assert_snapshot(f"report-tty-{width}", text)
    plain = STYLES.sub("", text)
    assert max(cell_len(line) for line in plain.splitlines()) <= width
    assert "…" not in plain
    assert "\x1b" not in plain


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_pipe_knows_no_width(width):
    """`COLUMNS` is that of the terminal, not of the pipe."""
    assert_snapshot("report-pipe", shown(console_of(COLUMNS=str(width))))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_standard_errors(width):
    assert_snapshot(f"report-errors-tty-{width}", shown(console_of(width), standard_errors=True))


def test_every_width_has_the_same_numbers():
    """Splitting and stacking loses none and repeats none but those that describe a row."""

    def numbers(text):
        return sorted(re.findall(r"0\.\d{3}[*~]?!?#?", STYLES.sub("", text)))

    whole = numbers(shown(console_of()))
    for width in (40, 60, 80, 100, 200):
        assert numbers(shown(console_of(width))) == whole


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_colour_leaves_no_colour(width):
    text = shown(console_of(width, NO_COLOR="1"))
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", text) for code in found.split(";")}
    assert codes <= {"0", "1"}  # bold is no colour
    assert STYLES.sub("", text) == STYLES.sub("", shown(console_of(width)))


def test_a_dumb_terminal_gets_no_escape_sequence():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, _environ={"TERM": "dumb"})
    text = shown(console)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_names_come_out_as_themselves():
    """No name of a suite is markup, a formula, a comment, a row or a column."""
    pipe = shown(console_of())
    markdown = render(story(), suite="story", title=TITLE, format="markdown")
    latex = render(story(), suite="story", title=TITLE, format="latex")
    for name in (TITLE, *OUTS, *SCORERS):
        assert name in pipe
        escaped = markdown.replace("\\", "").replace("&lt;", "<").replace("&amp;", "&")
        assert name in escaped
    assert "<script>" not in markdown
    assert "[red]typ" not in markdown.replace("\\[", "")
    assert "50\\%\\_x" in latex
    assert not re.search(r"(?<!\\)[%_#]", latex.partition("\n")[2])
    assert r"a\textbar{}b" in latex
    assert r"\textless{}script\textgreater{}alert(1)" in latex
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    first = [row for row in rows if "log-likelihood" in row]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in first} == {3 + len(OUTS) + 1}
