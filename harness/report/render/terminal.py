"""Tables for terminals, drawn by rich, and in plain lines for files and pipes."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rich.box import SIMPLE_HEAD, Box
from rich.cells import cell_len, chop_cells
from rich.color import blend_rgb, parse_rgb_hex
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.render.sheets import CellText, TextTable
from harness.text import one_line

GAP = 2
"""Character cells between two columns."""

NARROW = 8
"""Minimum width for folded names on a narrow terminal."""

WIDE_HEADER = 14
"""Width beyond which a column header is folded before a table is divided."""

ASCII_HEAD = Box(str(SIMPLE_HEAD).replace("─", "-"), ascii=True)

STRONGEST = 55
"""Percentage of tint in the background for an AUROC of 1 or 0, like in the page matrix."""

FAINTEST = 6
"""Minimum percentage of tint; an AUROC closer to 0.5 keeps the terminal background."""


class Scale(NamedTuple):
    """Colour scale for AUROCs.

    Attributes:
        ink: Text colour for all shaded numbers.
        high: Background colours for 0.5 to 1, in equal steps; `low` for 0.5 to 0.
    """

    ink: str
    high: Sequence[str]
    low: Sequence[str]

    def style(self, auroc: float) -> str:
        """Return the rich style for a number; empty near 0.5."""
        share = round(min(abs(auroc - 0.5) * 2, 1) * STRONGEST)
        if share < FAINTEST:
            return ""
        grounds = self.low if auroc < 0.5 else self.high
        return f"{self.ink} on {grounds[len(grounds) * share // (STRONGEST + 1)]}"


def _mixed(paper: str, tint: str) -> list[str]:
    """Blend a tint into the paper colour, in steps up to the strongest shade."""
    pair = parse_rgb_hex(paper), parse_rgb_hex(tint)
    return [blend_rgb(*pair, share / 100).hex for share in range(STRONGEST + 1)]


COLOURS = {
    # paper, ink and tints are the same on the report page
    ("light", "truecolor"): Scale(
        "#1d2129", _mixed("ffffff", "0072b2"), _mixed("ffffff", "d55e00")
    ),
    ("dark", "truecolor"): Scale(
        "#e6e8ec", _mixed("1b1e24", "56b4e9"), _mixed("1b1e24", "e8873a")
    ),
    # the nearest among 256 colours, in distinguishable steps
    ("light", "256"): Scale(
        "color(16)",
        ["color(153)", "color(117)", "color(74)"],
        ["color(223)", "color(216)", "color(173)"],
    ),
    ("dark", "256"): Scale(
        "color(255)",
        ["color(236)", "color(24)", "color(31)"],
        ["color(236)", "color(94)", "color(130)"],
    ),
}


def terminal_text(sheets: Sequence[TextTable], *, title: str, console: Console) -> str:
    """Format tables for a console, with the console's styles, encoding and width.

    On a terminal, a table that is too wide is divided into several tables, each with the leading
    columns, and long names are folded; a line is only too long if a single column does not fit.
    AUROCs are shaded on the same scale that the page uses, if the terminal has enough colours.
    Without a terminal, lines have no maximum length. Names are never parsed for markup.

    Returns:
        Text to write to `console.file` unchanged, escape sequences included.
    """
    text = wrapped([one_line(title)], console, "bold")
    if not sheets:
        text += wrapped(["There are no results."], console)
    for sheet in sheets:
        text += "\n" + wrapped([sheet.title], console, "bold")
        text += "".join(f"\n{table}" for table in _tables(_aligned(sheet), console))
        text += "\n" + wrapped([*sheet.caption, *sheet.notes], console)
    return text.encode(console.encoding, "replace").decode(console.encoding)


def wrapped(lines: Sequence[str], console: Console, style: str = "") -> str:
    """Wrap sentences at blanks on a terminal; elsewhere, keep one line per sentence."""
    if not console.is_terminal:
        return "".join(f"{line}\n" for line in lines)
    with console.capture() as shown:
        for line in lines:
            for part in Text(line, style).wrap(console, console.width, overflow="fold"):
                part.rstrip()
                console.print(part)
    return shown.get()


def _aligned(sheet: TextTable) -> TextTable:
    """Pad the AUROCs in each column to align the digits vertically."""
    columns = [_aligned_column(column) for column in zip(*sheet.body, strict=True)]
    return replace(sheet, body=list(zip(*columns, strict=True)))


def _aligned_column(cells: Sequence[CellText]) -> Sequence[CellText]:
    numbers = [cell for cell in cells if cell.auroc is not None]
    marks = max((len(cell.mark + cell.flags) for cell in numbers), default=0)
    beside = max((len(cell.beside) for cell in numbers), default=0)
    if not marks + beside:
        return cells
    return [
        cell
        if cell.auroc is None
        else cell._replace(
            beside=" " * (marks - len(cell.mark + cell.flags)) + cell.beside.ljust(beside)
        )
        for cell in cells
    ]


def _tables(sheet: TextTable, console: Console) -> list[str]:
    """Format a table, divided into several tables if necessary."""
    head = ASCII_HEAD if console.options.ascii_only else SIMPLE_HEAD
    if console.is_terminal:
        return [_drawn(sheet, part, head, console) for part in _divided(sheet, console.width)]
    return [_plain(sheet, head.head_row_horizontal)]


def _plain(sheet: TextTable, dash: str) -> str:
    """Format the table in plain lines, thirty times faster than rich."""
    rows = [sheet.header, *([words.plain for words in row] for row in sheet.body)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        blanks = [" " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)]
        pairs = enumerate(zip(row, blanks, strict=True))
        cells = [text + blank if at < sheet.left else blank + text for at, (text, blank) in pairs]
        lines.append((" " * GAP).join(cells).rstrip())
    lines.insert(1, dash * (sum(widths) + GAP * (len(widths) - 1)))
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class Part:
    """Adjacent columns in a divided table: column indices and widths."""

    places: tuple[int, ...]
    widths: tuple[int, ...]

    @property
    def width(self) -> int:
        """Total width in character cells."""
        return sum(self.widths) + GAP * (len(self.widths) - 1)


def _drawn(sheet: TextTable, part: Part, head: Box, console: Console) -> str:
    """Draw a part of the table with rich.

    A blank between two columns belongs to the column on one side, and takes the shade from there.
    """
    table = Table(box=head, show_edge=False, padding=0, width=part.width)
    columns = list(zip(part.places, part.widths, strict=True))
    is_left = [place < sheet.left for place in part.places]
    for at, (place, width) in enumerate(columns):
        table.add_column(
            Text("\n".join(_folded(sheet.header[place], width))),
            width=width + (any(is_left[at + 1 : at + 2]) if is_left[at] else at > 0),
            justify="left" if is_left[at] else "right",
            overflow="fold",
        )
    scale = _scale(console)
    for row in sheet.body:
        table.add_row(*(_cell(row[at], width, at >= sheet.left, scale) for at, width in columns))
    with console.capture() as shown:
        console.print(table, crop=False)
    return "".join(f"{line.rstrip()}\n" for line in shown.get().splitlines())


def _cell(words: CellText, width: int, is_right: bool, scale: Scale | None) -> Text:
    if words.auroc is None:
        return Text("\n".join(_folded(words.plain, width)))
    text = Text(justify="left", style=scale.style(words.auroc) if scale else "")
    text.append(words.text + words.mark, "bold" if words.best else None)
    text.append(words.flags, "red" if scale is None else None)
    text.append(words.beside)
    text.pad_left(max(0, width + is_right - text.cell_len))
    return text


def _scale(console: Console) -> Scale | None:
    """Choose the colour scale for light or dark background; None without enough colours.

    Some terminals report their background; all others are assumed dark, the most common case.
    """
    if console.no_color or console.color_system not in ("256", "truecolor"):
        return None
    ground = "light" if os.environ.get("COLORFGBG", "").endswith((";7", ";15")) else "dark"
    return COLOURS[ground, console.color_system]


def _divided(sheet: TextTable, limit: int) -> list[Part]:
    """Return the whole table if it fits, otherwise the best-fitting division with fewest lines."""
    places = range(len(sheet.header))
    cells = [list({row[place].plain: None for row in sheet.body}) for place in places]
    natural = [_widest([name, *cells[at]]) for at, name in enumerate(sheet.header)]
    whole = Part(tuple(places), tuple(natural))
    if whole.width <= limit:
        return [whole]
    divisions = {  # a dict keeps the order and removes duplicates
        tuple(_packed(sheet, limit, _widths(sheet, cells, header, name, most))): None
        for most in (max(NARROW, limit * 2 // 5), NARROW)
        for header in (WIDE_HEADER, 1)
        for name in range(max(NARROW, limit // 2), NARROW - 1, -4)
    }

    def cost(parts: tuple[Part, ...]) -> tuple[int, int]:
        too_wide = max(0, *(part.width - limit for part in parts))
        return too_wide, sum(_height(sheet, part) for part in parts)

    best = min(divisions, key=cost)
    return list(best)


def _widths(
    sheet: TextTable, cells: Sequence[Sequence[str]], header: int, name: int, most: int
) -> list[int]:
    """Compute column widths with headers and names folded at blanks and hyphens.

    A name without blanks and hyphens is only broken if wider than `most`.
    """
    widths = []
    for place, title in enumerate(sheet.header):
        names = cells[place] if place < sheet.left else ()
        whole = max(name, min(_longest_part(names), most))
        lines = [line for text in names for line in _folded(text, whole)] or cells[place]
        folded = _folded(title, min(max(header, _longest_part([title])), WIDE_HEADER))
        widths.append(_widest([*lines, *folded]))
    return widths


def _longest_part(texts: Iterable[str]) -> int:
    """Compute the width after folding texts at every blank and hyphen."""
    return _widest(
        part for text in texts for part in textwrap.wrap(text, 1, break_long_words=False)
    )


def _packed(sheet: TextTable, limit: int, widths: Sequence[int]) -> list[Part]:
    """Pack the columns into as few parts as possible, each with the leading columns."""
    lead = tuple(range(sheet.lead))
    leading = tuple(widths[: sheet.lead])
    room = limit - sum(leading) - GAP * sheet.lead
    parts: list[Part] = []
    taken = room
    for place in range(sheet.lead, len(widths)):
        width = widths[place]
        if width > room:  # fold at blanks only, to never break a number
            words = [word for row in sheet.body for word in row[place].plain.split()]
            width = max(room, _widest(words))
        if taken + GAP + width > room:
            parts.append(Part(lead, leading))
            taken = -GAP
        taken += GAP + width
        parts[-1] = Part((*parts[-1].places, place), (*parts[-1].widths, width))
    return parts


def _height(sheet: TextTable, part: Part) -> int:
    """Count the lines in a part, including the rule and a blank line."""
    columns = list(zip(part.places, part.widths, strict=True))
    rows = [sheet.header, *([words.plain for words in row] for row in sheet.body)]
    return 2 + sum(
        max(len(_folded(row[place], width)) for place, width in columns) for row in rows
    )


def _folded(text: str, width: int) -> list[str]:
    """Fold a text at blanks and hyphens to a width; words that are too long are broken."""
    if cell_len(text) <= width:
        return [text]
    lines = textwrap.wrap(text, max(width, 1))
    return [part for line in lines for part in chop_cells(line, max(width, 2))]


def _widest(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts), default=0)
