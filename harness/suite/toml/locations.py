"""Line numbers of keys and array elements in a TOML text; `tomllib` does not report lines."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections import Counter
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_STRING = (
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
)
_KEY = re.compile(rf"[ \t]*({_STRING}|[A-Za-z0-9_-]+)[ \t]*(\.?)", re.DOTALL)
_SCALAR = re.compile(rf"{_STRING}|[^,\]}}#\n]+", re.DOTALL)
_EQUALS = re.compile(r"=[ \t]*")
_BRACKETS = re.compile(r"\[{1,2}")
_BETWEEN = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")


def locate(text: str) -> dict[Path, int]:
    """Map each key path of a valid TOML text to its line, counted from 1.

    Arguments:
        text: TOML that `tomllib` has accepted.

    Returns:
        Lines by path, for example `("comparisons", 0, "scorers", 2)`; tables and arrays of tables
        are located at the header, implicit parent tables at the first child.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.position = 0
        self.lines: dict[Path, int] = {}
        self.array_lengths: Counter[Path] = Counter()
        self.breaks = [match.start() for match in re.finditer("\n", self.text)]

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        self._take(_BETWEEN)
        while self.position < len(self.text):
            if self._peek("["):
                table = self._header()
            else:
                self._key_value(table)
            self._take(_BETWEEN)
        return self.lines

    def _header(self) -> Path:
        start = self.position
        brackets = self._take(_BRACKETS).group()
        keys = self._keys()
        self.position += len(brackets)
        path: Path = ()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            self._note(path, start)
            if brackets == "[[" and number == len(keys):
                self.array_lengths[path] += 1
            if path in self.array_lengths:
                path = (*path, self.array_lengths[path] - 1)
                self._note(path, start)
        return path

    def _keys(self) -> list[str]:
        """Take a dotted key; the parts are unquoted."""
        keys = []
        dot = "."
        while dot:
            key, dot = self._take(_KEY).groups()
            keys.append(_unquote(key))
        return keys

    def _key_value(self, table: Path) -> None:
        start = self.position
        path = table
        for key in self._keys():
            path = (*path, key)
            self._note(path, start)
        self._take(_EQUALS)
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._peek("["):
            self._collection(path, "]")
        elif self._peek("{"):
            self._collection(path, "}")
        else:
            self._take(_SCALAR)

    def _collection(self, path: Path, closing: str) -> None:
        """Take an array or an inline table."""
        self.position += 1
        count = 0
        self._take(_BETWEEN)
        while not self._peek(closing):
            if closing == "]":
                self._note((*path, count), self.position)
                self._value((*path, count))
                count += 1
            else:
                self._key_value(path)
            self._take(_BETWEEN)
        self.position += 1

    def _note(self, path: Path, position: int) -> None:
        self.lines.setdefault(path, bisect_left(self.breaks, position) + 1)

    def _peek(self, token: str) -> bool:
        return self.text.startswith(token, self.position)

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self.text, self.position)
        assert match is not None, "valid TOML has this here"
        self.position = match.end()
        return match


def _unquote(key: str) -> str:
    if key[0] not in "\"'":
        return key
    (unquoted,) = tomllib.loads(f"{key} = 0")
    return unquoted
