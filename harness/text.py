"""Text for terminals, logs and pages: what could act is escaped; nearest known names."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

LONGEST = 200
"""Maximum number of characters of a value in a message."""
MOST_SHOWN = 500
"""Maximum number of bytes or tokens of an example of text that are shown."""
MOST_MARKS = 2
"""Maximum number of marks on a character of a shown text, as in Hindi or Thai."""

MOST_LISTED = 8
"""Maximum number of epochs, seeds or files that are listed before the last one."""


def printable(text: str) -> str:
    """Replace control characters by escapes, so that no terminal obeys them; keep line breaks."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


def one_line(text: str) -> str:
    """Put the text on a single line, with control characters as escapes."""
    return printable(" ".join(text.split()))


def short(value: Any) -> str:
    """Return the `repr` of a value, shortened in the middle if too long."""
    text = repr(value[: 2 * LONGEST] if isinstance(value, str) else value)
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]} … {text[-LONGEST // 4 :]}"


def shown_bytes(content: bytes) -> str:
    """Show the beginning of a text on one line, unambiguous and safe to print.

    UTF-8 is shown as characters. Escapes stand for bytes that are not UTF-8, line breaks, control
    and format characters (such as marks of direction), backslashes, and marks above or below a
    character after the second.
    """
    start = content[:MOST_SHOWN].replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    shown, marks = [], 0
    for char in start:
        marks = marks + 1 if unicodedata.category(char).startswith("M") else 0
        if char.isprintable() and marks <= MOST_MARKS:
            shown.append(char)
        else:  # a short escape above 7f is left for bytes that are no UTF-8
            shown.append(_escaped(char) if char.isascii() else f"\\U{ord(char):08x}")
    rest = len(content) - MOST_SHOWN
    return "".join(shown) + (f" … and {counted(rest, 'byte')}" if rest > 0 else "")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def known_names(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown name: the nearest known name, or else all known names."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    if not names:
        return "none is known"
    return "known: " + ", ".join(names)


def listed(values: Sequence[object], between: str = ", ") -> str:
    """Return the values, or the first ones and the last one of many: `1, 2, 3, … 500`."""
    shown = between.join(map(str, values[:MOST_LISTED]))
    return f"{shown}{between}… {values[-1]}" if len(values) > MOST_LISTED else shown


def counted(count: int, noun: str) -> str:
    """Return a number with a noun in singular or plural: `1 cell`, `2,000 cells`."""
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"


def columns_text(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return aligned columns, a line per row; nothing is cropped, control characters are escaped.

    Arguments:
        headers: Names of the columns.
        rows: Values; the text of a value is on a single line.
    """
    texts = [list(headers), *([one_line(str(value)) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(headers))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in [texts[0], ["-" * width for width in widths], *texts[1:]]
    ]
    return "\n".join(lines) + "\n"
