"""Values of a suite set on the command line: `--set training.short.learning_rate=3e-3`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from harness.errors import Problem
from harness.suite.toml.files import NAMED_TABLES, Merged
from harness.suite.toml.origins import Key, format_key
from harness.text import known_names

EXPECTED = "expected KEY=VALUE, for example training.NAME.learning_rate=3e-3"
READ_BEFORE = {
    "include": "included files are read before values are set",
    "plugins": "plugins are loaded before values are set; use -p",
}
"""Keys that cannot be set, with the reason."""
ON_THE_WAY = "executors"
"""Table about the way to the numbers, never about the numbers: names need not be in the suite."""

_NAME = r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'"""
_STEP = rf"(?:{_NAME})(?:\[\d+\])*"
_SETTING = re.compile(rf"\s*({_STEP}(?:\.{_STEP})*)\s*=(.*)", re.DOTALL)
_PART = re.compile(rf"\[(\d+)\]|({_NAME})")


class _MistakeError(Exception):
    def __init__(self, message: str, key: Key = (), hint: str = "") -> None:
        super().__init__(message)
        self.key, self.hint = key, hint


def set_values(merged: Merged, settings: Sequence[str]) -> None:
    """Set values in a suite, before the suite is validated.

    A table `models.NAME`, `training.NAME` and so on must exist, except for `executors.NAME`. A
    value has no file and line: the origin is the option.

    Arguments:
        merged: The suite; mistakes are added to its problems.
        settings: Each `KEY=VALUE`: the key as in messages, such as `comparisons[0].epochs`; the
            value as in TOML, or a text.
    """
    for setting in settings:
        option = f"--set {setting}"
        try:
            key, value = _parsed(setting)
            _set(merged.values, key, value)
        except _MistakeError as mistake:
            key_text = format_key(mistake.key)
            problem = Problem(str(mistake), option, key=key_text, hint=mistake.hint)
            merged.problems.append(problem)
            continue
        for inner in [other for other in merged.origins if other[: len(key)] == key]:
            del merged.origins[inner]
        merged.origins[key] = (option, None)
        for length in range(1, len(key)):  # tables that were added
            merged.origins.setdefault(key[:length], (option, None))


def may_change_numbers(setting: str) -> bool:
    """Check that a setting is about the numbers of a suite, not about the way to the numbers."""
    key, _ = _parsed(setting)
    return key[0] != ON_THE_WAY


def _parsed(setting: str) -> tuple[Key, Any]:
    """Parse `KEY=VALUE`; a value that is not TOML is a text."""
    found = _SETTING.fullmatch(setting)
    if found is None:
        raise _MistakeError(EXPECTED)
    parts = _PART.findall(found.group(1))
    key: Key = tuple(int(number) if number else _unquoted(name) for number, name in parts)
    text = found.group(2).strip()
    try:
        values = tomllib.loads(f"value = {text}")
    except ValueError:
        return key, text
    return key, values["value"] if len(values) == 1 else text


def _unquoted(name: str) -> str:
    (unquoted,) = tomllib.loads(f"{name} = 0")
    return unquoted


def _set(values: dict[str, Any], key: Key, value: Any) -> None:
    """Set the value at a key path; tables in between are added."""
    if key[0] in READ_BEFORE:
        raise _MistakeError(f"cannot be set: {READ_BEFORE[str(key[0])]}", key)
    inside: Any = values
    for depth, part in enumerate(key):
        here, last = key[:depth], depth == len(key) - 1
        if isinstance(part, int):
            if not isinstance(inside, list):
                raise _MistakeError("not a list", here)
            if part >= len(inside):
                raise _MistakeError(f"the last is {format_key(here)}[{len(inside) - 1}]", key)
        elif not isinstance(inside, dict):
            raise _MistakeError("not a table", here)
        elif depth == 1 and key[0] in NAMED_TABLES and not {part, key[0]} & {*inside, ON_THE_WAY}:
            message = f"the suite has no table [{key[0]}.{part}]"
            raise _MistakeError(message, key, known_names(part, inside))
        if last:
            inside[part] = value
        else:
            inside = inside[part] if isinstance(part, int) else inside.setdefault(part, {})
