"""Text for terminals, logs and messages: control characters escaped, nearest known names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

LONGEST = 200
"""Maximum number of characters of a value in a message."""


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


def counted(count: int, noun: str) -> str:
    """Return a number with a noun in singular or plural: `1 cell`, `2,000 cells`."""
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"
