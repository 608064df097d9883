"""Lines of tables: every cell whole, aligned, and styled only where the console has styles."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.report.render.ansi import AnsiWriter
from harness.report.render.sheets import CellText

BEST = CellText("0.912", "*", " ±0.003", "#")


def pen(colors="standard", **options):
    console = Console(
        file=io.StringIO(),
        color_system=colors,
        force_terminal=True,
        legacy_windows=False,
        **options,
    )
    return AnsiWriter(console)


def test_names_stand_on_the_ground_and_numbers_at_the_right():
    found = pen(None)
    columns = [(6, True), (5, False), (8, False)]
    found.head(["scorer", "a", "two-part names"], columns)
    found.row([CellText("x"), CellText("0.5"), CellText("-")], columns)
    assert found.text().splitlines() == [
        "               two-part",
        "scorer      a     names",
        "───────────────────────",
        "x         0.5         -",
    ]


def test_styles_are_those_of_the_console():
    columns = [(1, True), (14, False)]
    for options, styled in (
        ({}, "\x1b[1m0.912*\x1b[0m\x1b[31m#\x1b[0m ±0.003"),
        ({"no_color": True}, "\x1b[1m0.912*\x1b[0m# ±0.003"),
        ({"colors": None}, "0.912*# ±0.003"),
    ):
        found = pen(**options)
        found.row([CellText("x"), BEST], columns)
        assert found.text() == f"x  {styled}\n"


@pytest.mark.parametrize("width", [7, 8, 13])
def test_a_cell_that_does_not_fit_is_folded_at_blanks_and_keeps_its_styles(width):
    found = pen()
    found.row([CellText("a long-name"), BEST], [(6, True), (width, False)])
    lines = found.text().splitlines()
    assert "\x1b[1m0.912*\x1b[0m" in lines[0]
    assert lines[1].endswith("±0.003")
    assert [line.split()[0] for line in lines] == ["a", "long-"] + ["name"] * (len(lines) == 3)


def test_wide_characters_take_two_cells():
    found = pen(None)
    found.row([CellText("尤度"), CellText("画")], [(6, True), (4, False)])
    found.sentences(["尤度 尤度"], 5)
    assert found.text() == "尤度      画\n尤度\n尤度\n"


def test_an_encoding_that_lacks_characters_gets_a_question_mark():
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    found = AnsiWriter(Console(file=raw, color_system=None))
    found.head(["ä"], [(3, True)])
    assert found.text() == "?\n---\n"
