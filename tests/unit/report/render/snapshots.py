"""Snapshots of what a terminal shows: text files, compared exactly.

`BENCH_UPDATE_SNAPSHOTS=1 uv run pytest tests/unit/report` writes them anew; look at what changed.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"
ESCAPE = "␛"
"""Stands for the escape character, so that the files can be read and compared."""


def assert_snapshot(name: str, text: str) -> None:
    """The text is that of `snapshots/NAME.txt`."""
    path = FOLDER / f"{name}.txt"
    shown = text.replace("\x1b", ESCAPE)
    if os.environ.get("BENCH_UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8", newline="\n")
    assert shown == path.read_bytes().decode(), f"{path} differs; see {__name__}"
