"""The tables on a terminal: names and numbers are never cropped, whatever the width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rich.console import Console

from harness.report.render.ansi import GAP, AnsiWriter, cells_of
from harness.report.render.sheets import CellText, TextTable
from harness.text import one_line

NARROW = 8
"""On a narrow terminal, names are folded, but to no less than this width."""

WIDE_HEADER = 14
"""On a narrow terminal, the name of a column does not make it wider than this."""


@dataclass(frozen=True)
class Part:
    """Columns of a table that stand side by side: their places in the table and widths."""

    places: tuple[int, ...]
    widths: tuple[int, ...]

    @property
    def width(self) -> int:
        """Cells that the part takes."""
        return sum(self.widths) + GAP * (len(self.widths) - 1)


def terminal_text(sheets: Sequence[TextTable], *, title: str, console: Console) -> str:
    """The tables as the console shows them, with its styles, encoding and width.

    On a terminal, a table that is too wide is split into several with some of the columns
    each, and long names are folded, or stand on lines of their own above their rows where that is
    shorter; a line runs over only if one column alone does not fit. Off a terminal, lines are as
    long as they need to be. Names are not read as markup.

    Returns:
        Text to be written to `console.file` as it is, escape sequences included.
    """
    limit = console.width if console.is_terminal else None
    pen = AnsiWriter(console)
    pen.sentences([one_line(title)], limit, "bold")
    if not sheets:
        pen.sentences(["There are no results."], limit)
    for sheet in sheets:
        pen.sentences(["", sheet.title], limit, "bold")
        for drawing in _drawings(sheet, limit):
            pen.lines.append("")
            drawing.write(pen, limit)
        pen.lines.append("")
        pen.sentences(sheet.caption, limit)
        pen.sentences(sheet.notes, limit)
    return pen.text()


def wrapped(lines: Sequence[str], console: Console) -> str:
    """Sentences, each on its lines: wrapped at blanks on a terminal, one line each off it."""
    if not console.is_terminal:
        return "".join(f"{line}\n" for line in lines)
    parts = [textwrap.wrap(line, console.width, break_on_hyphens=False) for line in lines]
    return "".join(f"{line}\n" for part in parts for line in part)


@dataclass(frozen=True)
class Drawing:
    """A part as it is written: the rows below its head, in groups that may have a name each."""

    part: Part
    sheet: TextTable
    groups: Sequence[tuple[str, Sequence[Sequence[CellText]]]]

    def write(self, pen: AnsiWriter, limit: int | None) -> None:
        """Write it."""
        pairs = zip(self.part.places, self.part.widths, strict=True)
        columns = [(width, place < self.sheet.left) for place, width in pairs]
        pen.head([self.sheet.header[place] for place in self.part.places], columns)
        for name, rows in self.groups:
            if name:
                pen.sentences([name], limit)
            for row in rows:
                pen.row([row[place] for place in self.part.places], columns)


def _drawings(sheet: TextTable, limit: int | None) -> list[Drawing]:
    """The parts of a table, flat or stacked, whichever takes fewer lines."""
    flat = _parts(sheet, limit)
    as_it_is = [Drawing(part, sheet, [("", sheet.body)]) for part in flat]
    if limit is None or sheet.lead < 2:
        return as_it_is
    if len(flat) == 1 and flat[0].width == _natural_width(sheet):
        return as_it_is
    rest = _without_first(sheet)
    stacked = _parts(rest, limit)
    groups = [
        (name, [row[1:] for row in rows])
        for name, rows in groupby(sheet.body, lambda row: row[0].text)
    ]
    heads = len(stacked) * len(groups)
    if _lines(flat, sheet) <= _lines(stacked, rest) + heads:
        return as_it_is
    return [Drawing(part, rest, groups) for part in stacked]


def _natural_width(sheet: TextTable) -> int:
    return _parts(sheet, None)[0].width


def _without_first(sheet: TextTable) -> TextTable:
    """The table without its first column, whose names then stand above their rows."""
    return replace(
        sheet,
        header=sheet.header[1:],
        body=[row[1:] for row in sheet.body],
        lead=sheet.lead - 1,
        left=sheet.left - 1,
    )


def _lines(parts: Sequence[Part], sheet: TextTable) -> int:
    """How many lines the parts of a table take."""

    def height(names: Sequence[str], part: Part) -> int:
        pairs = zip(part.places, part.widths, strict=True)
        return max(len(textwrap.wrap(names[place], width)) or 1 for place, width in pairs)

    rows = [sheet.header, *([words.plain for words in row] for row in sheet.body)]
    return sum(1 + sum(height(row, part) for row in rows) for part in parts)


def _parts(sheet: TextTable, limit: int | None) -> list[Part]:
    """The table as it is if it fits, or else cut into parts, each with the first columns."""
    names, rows, lead = sheet.header, sheet.body, sheet.lead
    values = [max(cells_of(row[place].plain) for row in rows) for place in range(len(names))]
    natural = [max(cells_of(name), value) for name, value in zip(names, values, strict=True)]
    whole = Part(tuple(range(len(names))), tuple(natural))
    if limit is None or whole.width <= limit:
        return [whole]
    others = [
        max(value, min(width, WIDE_HEADER))
        for value, width in zip(values[lead:], natural[lead:], strict=True)
    ]
    narrow = [
        max(value, min(_longest_part(name), WIDE_HEADER))
        for value, name in zip(values[lead:], names[lead:], strict=True)
    ]
    for widths in (others, narrow):
        folded_heads = Part(whole.places, (*natural[:lead], *widths))
        if folded_heads.width <= limit:
            return [folded_heads]
    beside = sum(natural[1:lead]) + GAP * lead
    spare = min(limit // 3, limit - beside - max(NARROW, *values[lead:]))
    first = min(natural[0], max(NARROW, spare))
    room = limit - beside - first
    leading = (first, *natural[1:lead])
    parts: list[Part] = []
    taken = room
    for place, width in enumerate(others, lead):
        folded = width if width <= room else max(room, _longest_word(row[place] for row in rows))
        if taken + GAP + folded > room:
            parts.append(Part(tuple(range(lead)), leading))
            taken = -GAP
        taken += GAP + folded
        parts[-1] = Part((*parts[-1].places, place), (*parts[-1].widths, folded))
    return parts


def _longest_part(name: str) -> int:
    """The width of a name that is folded at every blank and hyphen."""
    return max(map(cells_of, textwrap.wrap(name, 1, break_long_words=False)), default=0)


def _longest_word(cells: Iterable[CellText]) -> int:
    """The width below which a number would be broken: folding is at blanks."""
    return max(cells_of(word) for words in cells for word in words.plain.split())
