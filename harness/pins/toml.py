"""TOML as it is written: tables of plain values, one key a line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_lines(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """One line `key = value` for each leaf, tables within as dotted keys.

    TOML has no null: what is None is left out.
    """
    lines = []
    for name, value in values.items():
        key = prefix + toml_key(name)
        if isinstance(value, Mapping) and value:
            lines += toml_lines(value, f"{key}.")
        elif value is not None:
            lines.append(f"{key} = {toml_value(value)}")
    return lines


def toml_key(name: str) -> str:
    """A key, quoted where it has to be."""
    return name if BARE.fullmatch(name) else _text(name)


def toml_value(value: Any) -> str:
    """A value on one line.

    Arguments:
        value: Text, a number, a truth value, or lists and mappings of such.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        pairs = [f"{toml_key(k)} = {toml_value(v)}" for k, v in value.items() if v is not None]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    return "[" + ", ".join(toml_value(item) for item in value) + "]"


def _text(value: str) -> str:
    """A basic string; JSON's escapes are TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
