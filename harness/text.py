"""Text for terminals, logs and messages: control characters escaped, nearest known names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

LONGEST = 200
"""So many characters of a value are shown in a message."""


def printable(text: str) -> str:
    """The text with control characters shown as escapes, so that none acts; lines stay lines."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


def one_line(text: str) -> str:
    """The text on one line, control characters shown as escapes."""
    return printable(" ".join(text.split()))


def short(value: Any) -> str:
    """A value as Python writes it, its middle left out where it is long."""
    text = repr(value[: 2 * LONGEST] if isinstance(value, str) else value)
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]} … {text[-LONGEST // 4 :]}"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def known_names(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, or all of them if none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    if not names:
        return "none is known"
    return "known: " + ", ".join(names)


def counted(count: int, noun: str) -> str:
    """A number of things: `1 cell`, `2,000 cells`."""
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"
