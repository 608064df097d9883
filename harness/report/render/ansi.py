"""Lines of text and of tables with their styles: a hundred thousand rows in a second."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TypeAlias

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from harness.report.render.sheets import CellText

GAP = 2
"""Blank cells after each column but the last."""

Piece: TypeAlias = tuple[str, str]
"""A text and its style: `""`, `"bold"` or `"red"`."""

Column: TypeAlias = tuple[int, bool]
"""The width of a column, and whether it is aligned left."""


class AnsiWriter:
    """Collects lines for a console, with the styles and characters that it can show.

    Rich does the same, twenty times slower: it lays out anew what is laid out already.

    Arguments:
        console: Decides styles and encoding; nothing is printed to it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        is_styled = console.color_system is not None
        has_colour = is_styled and not console.no_color
        self.codes = {"bold": "1" if is_styled else "", "red": "31" if has_colour else ""}
        self.lines: list[str] = []

    def text(self) -> str:
        """All lines; what the encoding lacks is a question mark."""
        whole = "".join(f"{line}\n" for line in self.lines)
        return whole.encode(self.console.encoding, "replace").decode(self.console.encoding)

    def sentences(self, lines: Sequence[str], limit: int | None, style: str = "") -> None:
        """Write lines of text, wrapped at blanks where a limit is given."""
        for line in lines:
            parts = [line] if limit is None else self._wrapped(line, limit)
            self.lines += [self._styled(part, style) for part in parts]

    def head(self, names: Sequence[str], columns: Sequence[Column]) -> None:
        """Write the names of columns, at the bottom of as many lines as the longest takes."""
        cells = [
            [[(part, "")] for part in self._name(name, width)]
            for name, (width, _) in zip(names, columns, strict=True)
        ]
        height = max(map(len, cells))
        cells = [[[]] * (height - len(cell)) + cell for cell in cells]
        self._write(cells, columns, "bold")
        self.lines.append(self._dash() * (sum(w for w, _ in columns) + GAP * (len(columns) - 1)))

    def row(self, cells: Sequence[CellText], columns: Sequence[Column]) -> None:
        """Write a row: on one line if its cells fit, else on as many as the longest takes.

        The first cell is a name, which is broken at hyphens too.
        """
        line = []
        for words, (width, is_left) in zip(cells, columns, strict=True):
            plain = words.plain
            blank = width - cells_of(plain)
            if blank < 0:
                self._folded_row(cells, columns)
                return
            shown = self._shown(words) if words.mark or words.flags else plain
            line.append(shown + " " * blank if is_left else " " * blank + shown)
        self.lines.append((" " * GAP).join(line).rstrip())

    def _shown(self, words: CellText) -> str:
        """A cell with its styles."""
        number = words.text + words.mark
        number = self._styled(number, "bold") if words.mark == "*" else number
        return number + self._styled(words.flags, "red") + words.beside

    def _folded_row(self, cells: Sequence[CellText], columns: Sequence[Column]) -> None:
        width, _ = columns[0]
        first = [[(part, "")] for part in self._name(cells[0].plain, width)]
        pairs = zip(cells[1:], columns[1:], strict=True)
        self._write([first, *(self._cell(words, width) for words, (width, _) in pairs)], columns)

    def _write(
        self, cells: Sequence[list[list[Piece]]], columns: Sequence[Column], style: str = ""
    ) -> None:
        """Write cells, each given as pieces line by line, side by side."""
        for place in range(max(map(len, cells))):
            line = []
            for cell, (width, is_left) in zip(cells, columns, strict=True):
                pieces = cell[place] if place < len(cell) else []
                blank = " " * (width - sum(cells_of(text) for text, _ in pieces))
                shown = "".join(self._styled(text, style) for text, style in pieces)
                line.append(shown + blank if is_left else blank + shown)
            self.lines.append(self._styled((" " * GAP).join(line).rstrip(), style))

    def _name(self, name: str, width: int) -> list[str]:
        """A name on as many lines as it needs, broken at blanks and hyphens if it can be."""
        if cells_of(name) <= width:
            return [name]
        parts = textwrap.wrap(name, width) or [""]
        return [line for part in parts for line in self._wrapped(part, width)]

    def _cell(self, words: CellText, width: int) -> list[list[Piece]]:
        """A cell as pieces, line by line."""
        pieces = [
            (words.text + words.mark, "bold" if words.best else ""),
            (words.flags, "red"),
            (words.beside, ""),
        ]
        if cells_of(words.plain) <= width:
            return [[piece for piece in pieces if piece[0]]]
        lines = Text.assemble(*pieces).wrap(self.console, width, overflow="fold")
        return [
            [(part.text, str(part.style or "")) for part in line.render(self.console)]
            for line in lines
        ]

    def _wrapped(self, line: str, width: int) -> list[str]:
        """A text on lines of a width, broken at blanks; a longer word is broken where it must."""
        if cells_of(line) <= width:
            return [line]
        lines = Text(line).wrap(self.console, width, overflow="fold")
        return [part.plain.rstrip() for part in lines]

    def _styled(self, text: str, style: str) -> str:
        code = self.codes.get(style)
        return f"\x1b[{code}m{text}\x1b[0m" if code and text else text

    def _dash(self) -> str:
        try:
            "─".encode(self.console.encoding)
        except UnicodeEncodeError:
            return "-"
        return "─"


def cells_of(text: str) -> int:
    """The width of a text on a terminal."""
    return len(text) if text.isascii() else cell_len(text)
