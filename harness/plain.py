"""Text from outside made fit for a terminal, a log and a message."""

from __future__ import annotations

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
