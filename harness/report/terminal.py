"""The tables on a terminal: names and numbers are never cropped, whatever the width."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from harness.plain import one_line
from harness.report.text import Sheet, Words

GAP = 2
"""Blank cells after each column but the last."""

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


def terminal_text(sheets: Sequence[Sheet], *, title: str, console: Console) -> str:
    """The tables as the console shows them, with its styles, encoding and width.

    On a terminal, a table that is too wide is split into several with some of the columns
    each, and long names are folded, or stand on lines of their own above their rows where that is
    shorter; a line runs over only if one column alone does not fit. Off a terminal, lines are as
    long as they need to be. Names are not read as markup.

    Returns:
        Text to be written to `console.file` as it is, escape sequences included.
    """
    limit = console.width if console.is_terminal else None
    drawings = [_drawings(sheet, limit) for sheet in sheets]
    widest = max((drawing.width for parts in drawings for drawing in parts), default=1)
    canvas = io.TextIOWrapper(io.BytesIO(), console.encoding, errors="replace", newline="\n")
    pen = Console(
        file=canvas,
        width=max(widest, limit or 1) + 1,  # rich reserves a gap after the last column
        color_system=None if console.color_system is None else "standard",
        force_terminal=console.is_terminal,
        no_color=console.no_color,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    _write(pen, [one_line(title)], limit, "bold")
    if not sheets:
        _write(pen, ["There are no results."], limit)
    for sheet, parts in zip(sheets, drawings, strict=True):
        _write(pen, ["", sheet.title], limit, "bold")
        for drawing in parts:
            pen.print()
            for table in drawing.tables:
                pen.print(table, width=limit if isinstance(table, Text) else None)
        pen.print()
        _write(pen, sheet.caption, limit)
        _write(pen, sheet.notes, limit)
    canvas.seek(0)
    return "".join(line.rstrip() + "\n" for line in canvas)


def wrapped(lines: Sequence[str], console: Console) -> str:
    """Sentences, each on its lines: wrapped at blanks on a terminal, one line each off it."""
    if not console.is_terminal:
        return "".join(f"{line}\n" for line in lines)
    parts = [textwrap.wrap(line, console.width, break_on_hyphens=False) for line in lines]
    return "".join(f"{line}\n" for part in parts for line in part)


def _write(pen: Console, lines: Sequence[str], limit: int | None, style: str = "") -> None:
    """Sentences, wrapped on a terminal only."""
    for line in lines:
        written = Text(line, style=style, overflow="fold")
        pen.print(written, width=limit, soft_wrap=limit is None)


@dataclass(frozen=True)
class Drawing:
    """A part as it is printed: one table, or its head and then name and rows of each group."""

    tables: tuple[RichTable | Text, ...]
    width: int


def _drawings(sheet: Sheet, limit: int | None) -> list[Drawing]:
    """The parts of a table, flat or stacked, whichever takes fewer lines."""
    flat = _parts(sheet, limit)
    if len(flat) == 1 and flat[0].width == _natural_width(sheet):
        return [Drawing((_draw(part, sheet),), part.width) for part in flat]
    rest = _without_first(sheet)
    stacked = _parts(rest, limit)
    groups = [(name, list(rows)) for name, rows in groupby(sheet.body, lambda row: row[0].text)]
    heads = len(stacked) * len(groups)
    if sheet.lead < 2 or _lines(flat, sheet) <= _lines(stacked, rest) + heads:
        return [Drawing((_draw(part, sheet),), part.width) for part in flat]
    return [_draw_stacked(part, rest, groups) for part in stacked]


def _natural_width(sheet: Sheet) -> int:
    return _parts(sheet, None)[0].width


def _without_first(sheet: Sheet) -> Sheet:
    """The table without its first column, whose names then stand above their rows."""
    return replace(
        sheet,
        header=sheet.header[1:],
        body=[row[1:] for row in sheet.body],
        lead=sheet.lead - 1,
        left=sheet.left - 1,
    )


def _lines(parts: Sequence[Part], sheet: Sheet) -> int:
    """How many lines the parts of a table take."""

    def height(names: Sequence[str], part: Part) -> int:
        pairs = zip(part.places, part.widths, strict=True)
        return max(_folded(names[place], width).count("\n") + 1 for place, width in pairs)

    rows = [sheet.header, *([words.plain for words in row] for row in sheet.body)]
    return sum(1 + sum(height(row, part) for row in rows) for part in parts)


def _draw_stacked(
    part: Part, sheet: Sheet, groups: Sequence[tuple[str, list[Sequence[Words]]]]
) -> Drawing:
    """The head of a part, and its rows in groups, each below its name."""
    tables: list[RichTable | Text] = [_draw(part, replace(sheet, body=[]))]
    for name, rows in groups:
        body = [row[1:] for row in rows]
        tables += [Text(name, overflow="fold"), _draw(part, replace(sheet, body=body), head=False)]
    return Drawing(tuple(tables), part.width)


def _draw(part: Part, sheet: Sheet, head: bool = True) -> RichTable:
    drawing = RichTable(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        show_header=head,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for place, width in zip(part.places, part.widths, strict=True):
        drawing.add_column(
            Text(_folded(sheet.header[place], width)),
            justify="left" if place < sheet.left else "right",
            overflow="fold",
            width=width,
        )
    for row in sheet.body:
        first = Text(_folded(row[0].text, part.widths[0]))
        drawing.add_row(first, *(_styled(row[place]) for place in part.places[1:]))
    return drawing


def _folded(name: str, width: int) -> str:
    """A name on as many lines as it needs, broken at blanks and hyphens if it can be."""
    return "\n".join(textwrap.wrap(name, width))


def _styled(words: Words) -> Text:
    number = (words.text + words.mark, "bold" if words.best else "")
    return Text.assemble(number, (words.flags, "red"), words.beside)


def _parts(sheet: Sheet, limit: int | None) -> list[Part]:
    """The table as it is if it fits, or else cut into parts, each with the first columns."""
    names, rows, lead = sheet.header, sheet.body, sheet.lead
    values = [max(cell_len(row[place].plain) for row in rows) for place in range(len(names))]
    natural = [max(cell_len(name), value) for name, value in zip(names, values, strict=True)]
    whole = Part(tuple(range(len(names))), tuple(natural))
    if limit is None or whole.width <= limit:
        return [whole]
    others = [
        max(value, min(width, WIDE_HEADER))
        for value, width in zip(values[lead:], natural[lead:], strict=True)
    ]
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


def _longest_word(cells: Iterable[Words]) -> int:
    """The width below which a number would be broken: folding is at blanks."""
    return max(cell_len(word) for words in cells for word in words.plain.split())
