"""Listings on stdout: tables for people and JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from typing import Any, TypeVar

from harness.text import columns_text, printable

T = TypeVar("T")


def tell(text: str) -> None:
    """Print a message on stderr; control characters are escaped."""
    print(printable(text), file=sys.stderr, flush=True)


def drop_unwritten() -> None:
    """Drop output that cannot be written, which the end of the process would try to write."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_items(
    items: Sequence[T], headers: Sequence[str], row: Callable[[T], Sequence[Any]], as_json: bool
) -> None:
    """Print items as JSON, or as a table with a row for each item."""
    if as_json:
        print_json(items)
    else:
        print_rows(headers, [row(item) for item in items])


def print_json(value: Any) -> None:
    """Print a value as indented JSON: dataclasses as objects, paths and other types as text."""
    print(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return vars(value)
    return str(value)


def print_rows(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print aligned columns; nothing is cropped, and control characters are escaped."""
    print(columns_text(headers, rows), end="")
