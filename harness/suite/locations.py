"""The line of every key and array element of a TOML text, which `tomllib` does not tell."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}#\n]+")


def locate(text: str) -> dict[Path, int]:
    """Map each key path of a valid TOML text to its line, counted from 1.

    Arguments:
        text: TOML that `tomllib` has accepted.

    Returns:
        Paths such as `("comparisons", 0, "scorers", 2)`; tables and arrays of tables are located
        at their header, implicit parent tables at their first child.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.position = 0
        self.lines: dict[Path, int] = {}
        self.array_lengths: dict[Path, int] = {}
        self.breaks = [match.start() for match in re.finditer("\n", self.text)]

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        self._skip_blank()
        while self.position < len(self.text):
            if self._peek("[["):
                table = self._header("[[", "]]", is_array=True)
            elif self._peek("["):
                table = self._header("[", "]", is_array=False)
            else:
                self._key_value(table)
            self._skip_blank()
        return self.lines

    def _header(self, opening: str, closing: str, is_array: bool) -> Path:
        start = self.position
        self.position += len(opening)
        keys = self._keys()
        self.position += len(closing)
        path: Path = ()
        for number, key in enumerate(keys):
            path = (*path, key)
            self._note(path, start)
            is_last = number == len(keys) - 1
            if is_array and is_last:
                self.array_lengths[path] = self.array_lengths.get(path, 0) + 1
            if path in self.array_lengths:
                path = (*path, self.array_lengths[path] - 1)
                self._note(path, start)
        return path

    def _keys(self) -> list[str]:
        """A dotted key, its parts unquoted."""
        keys = []
        while True:
            self._skip_spaces()
            match = _STRING.match(self.text, self.position) or _BARE.match(
                self.text, self.position
            )
            assert match is not None, "valid TOML has a key here"
            self.position = match.end()
            keys.append(_unquote(match.group()))
            self._skip_spaces()
            if not self._peek("."):
                return keys
            self.position += 1

    def _key_value(self, table: Path) -> None:
        start = self.position
        path = table
        for key in self._keys():
            path = (*path, key)
            self._note(path, start)
        self.position += 1  # the equals sign
        self._skip_spaces()
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._peek("["):
            self._collection(path, "]")
        elif self._peek("{"):
            self._collection(path, "}")
        else:
            match = _STRING.match(self.text, self.position) or _SCALAR.match(
                self.text, self.position
            )
            assert match is not None, "valid TOML has a value here"
            self.position = match.end()

    def _collection(self, path: Path, closing: str) -> None:
        """An array or an inline table."""
        self.position += 1
        count = 0
        self._skip_blank()
        while not self._peek(closing):
            if closing == "]":
                self._note((*path, count), self.position)
                self._value((*path, count))
                count += 1
            else:
                self._key_value(path)
            self._skip_blank()
            if self._peek(","):
                self.position += 1
                self._skip_blank()
        self.position += 1

    def _note(self, path: Path, position: int) -> None:
        self.lines.setdefault(path, bisect_left(self.breaks, position) + 1)

    def _peek(self, token: str) -> bool:
        return self.text.startswith(token, self.position)

    def _skip_blank(self) -> None:
        match = _BLANK.match(self.text, self.position)
        assert match is not None, "the pattern matches the empty string"
        self.position = match.end()

    def _skip_spaces(self) -> None:
        while self.position < len(self.text) and self.text[self.position] in " \t":
            self.position += 1


def _unquote(key: str) -> str:
    if key[0] == '"':
        import tomllib

        (unquoted,) = tomllib.loads(f"{key} = 0")
        return unquoted
    return key[1:-1] if key[0] == "'" else key
