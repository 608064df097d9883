"""Origins: file and line of every value in a suite, for messages and for relative paths."""

from __future__ import annotations

from pathlib import Path

from harness.errors import Problem

Key = tuple[str | int, ...]
Origin = tuple[str, int | None]
"""File and line; for a value of the command line, the option and None."""


class Origins(dict[Key, Origin]):
    """Origin by key; a key without an entry has the origin of the nearest table above."""

    def origin(self, key: Key) -> Origin:
        """Return the origin of a value, or of the nearest table above."""
        return next(
            (self[key[:length]] for length in range(len(key), -1, -1) if key[:length] in self),
            ("", None),
        )

    def problem(self, key: Key, message: str, hint: str = "") -> Problem:
        """Create a problem at a key."""
        file, line = self.origin(key)
        return Problem(message, file=file, line=line, key=format_key(key), hint=hint)

    def folder(self, key: Key) -> Path:
        """Return the absolute folder of the file with a value, for relative paths in the value.

        A value of the command line is a value in the file with the table above.
        """
        while self.origin(key)[1] is None and key:
            key = key[:-1]
        return Path(self.origin(key)[0]).absolute().parent


def format_key(key: Key) -> str:
    """Format a key path for people: `comparisons[0].epochs[1]`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + part
    return text
