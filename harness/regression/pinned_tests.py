"""Answers for the pytest plugin from a separate process: pinned cells and verified values.

`python -P -m oodbench._start harness.regression.pinned_tests REQUEST` prints the answer to a
request, both as JSON. The test processes never import `harness`, because they may have another
package with this name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import BenchError, FolderError
from harness.regression.pins import cell_name, read_pins
from harness.settings import raw_root

BENCH = (sys.executable, "-P", "-m", "oodbench")
QUIET = ("--display", "none")
DONE = (0, 1, 3)
"""Exit statuses after completed work: success, some cells failed, a value moved."""


def main() -> None:
    """Answer the request from the command line."""
    request = json.loads(sys.argv[1])
    print(json.dumps(ANSWERS[request.pop("ask")](**request)))


def pinned_cells(pins: str) -> dict[str, Any]:
    """Return the names of the cells pinned in a file, or the problem with the file."""
    try:
        read = read_pins(Path(pins))
    except BenchError as error:
        return {"problem": str(error)}
    if not read.pins:
        return {"problem": f"{pins}: no cell is pinned; write pins with bench pin {read.suite}"}
    return {"cells": [cell_name(pin.cell) for pin in read.pins]}


def run_session(
    pins: str, folder: str, store: str | None, update: bool, options: list[str]
) -> dict[str, Any]:
    """Run a suite, compare the values with the pins and, on request, write new pins.

    Arguments:
        pins: The pin file.
        folder: Folder for everything computed in this session.
        store: Store with results to compare, where missing results are computed unless the store
            is read-only; if None, the suite runs in a new store.
        update: Whether to write new pins.
        options: Additional options for `bench run`.

    Returns:
        For each cell the state and message; the changes made by `update`; a problem that prevents
        the rest, or "".
    """
    path = Path(pins)
    suite = str(read_pins(path).suite)
    where = ["--store", store] if store else _new_folders(Path(folder))
    pinned = [suite, "--pins", pins, *where]
    found: dict[str, Any] = {"cells": {}, "changes": None, "problem": ""}
    try:
        if not store or not Path(store).exists() or os.access(store, os.W_OK):
            _bench(path, "the suite cannot be run", "run", suite, *where, *options, *QUIET)
        rows = json.loads(_bench(path, "the pins cannot be compared", "verify", *pinned, "--json"))
        found["cells"] = {row["cell"]: (row["state"], row["message"]) for row in rows}
        if update:
            written = _bench(path, "the pins cannot be written", "pin", *pinned, *QUIET)
            found["changes"] = written.rstrip()
            for name, (state, _) in found["cells"].items():
                if state != "cell failed":
                    found["cells"][name] = ("holds", "")
    except BenchError as error:
        found["problem"] = str(error)
    return found


ANSWERS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "cells": pinned_cells,
    "session": run_session,
}


def _new_folders(folder: Path) -> list[str]:
    """Create a store and a data folder for the session, sharing only raw files with other runs."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    with suppress(FileExistsError, FolderError):  # of another suite in this session; no home
        if (raw := raw_root().absolute()).is_dir():
            (data / "raw").symlink_to(raw, target_is_directory=True)
    return ["--store", str(folder / "store"), "--data", str(data)]


def _bench(pins: Path, problem: str, *arguments: str) -> str:
    """Run a `bench` command in the parent of the pin folder, and return its output.

    Arguments:
        pins: The pin file.
        problem: Beginning of the error message.
        arguments: The command and its options.

    Raises:
        BenchError: The command did not complete its work.
    """
    done = subprocess.run(
        [*BENCH, *arguments],
        cwd=pins.parent.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode not in DONE:
        raise BenchError(f"{problem}: {done.stderr.strip()}")
    return done.stdout
