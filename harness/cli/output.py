"""Listings on stdout: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from harness.text import one_line, printable


def tell(text: str) -> None:
    """Print a message on stderr; no control character in it acts."""
    print(printable(text), file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    print(json.dumps(value, indent=2, default=str))


def print_rows(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print aligned columns; nothing is cropped, and no control character acts."""
    texts = [list(headers), *([one_line(str(value)) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(headers))]
    for number, row in enumerate(texts):
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
