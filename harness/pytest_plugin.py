"""The pytest plugin: a test for each cell of each suite that has pins.

It is installed with the distribution. Pins are files `pins/*.toml` that `bench pin` wrote; pytest
without arguments takes in those of its root folder too, whatever `testpaths` says. A suite is run
once a session, however many processes share the tests, in a store that is thrown away unless the
ini option `bench_store` names one: what is stored was computed by the code of that day.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = "pins"
OURS = re.compile(r"`bench pin`|^\[\[cells\]\]", re.MULTILINE)
BENCH = (sys.executable, "-c", "from harness.cli import main; main()")
RAN = (0, 1)
"""Exit status of `bench run` that leave results: all cells, or some, have a number."""
VERIFIED = (0, 1, 3)
SESSION = pytest.StashKey[Path]()


class PinError(Exception):
    """A pinned value that does not hold; its text is the failure's."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--bench-update` and `bench_store`."""
    group = parser.getgroup("bench", "pinned values of bench suites")
    group.addoption(
        "--bench-update",
        action="store_true",
        help="Write the pins of the suites that are collected anew, and show what is different.",
    )
    parser.addini(
        "bench_store",
        "Store, relative to the root folder, whose results are compared with pins; by default "
        "suites are run in one that is thrown away.",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Take in the project's pins if pytest was not told what to test."""
    worker_input = getattr(config, "workerinput", {})
    name = f"bench-pins-{uuid.uuid4().hex}"
    config.stash[SESSION] = Path(
        worker_input.get("bench_pins") or Path(tempfile.gettempdir(), name)
    )
    folder = config.rootpath / FOLDER
    if config.args_source is config.ArgsSource.TESTPATHS and any(folder.glob("*.toml")):
        config.args.insert(0, str(folder))  # the longest first, where processes share the tests


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of pytest-xdist the folder that all of them share."""
    node.workerinput["bench_pins"] = str(node.config.stash[SESSION])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Throw away what the session computed."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(config.stash[SESSION], ignore_errors=True)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> PinsFile | None:
    """Collect files of pins."""
    if file_path.suffix != ".toml" or file_path.parent.name != FOLDER:
        return None
    text = file_path.read_text(encoding="utf-8", errors="replace")
    return PinsFile.from_parent(parent, path=file_path) if OURS.search(text) else None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show what `--bench-update` changed."""
    for path in sorted(config.stash[SESSION].glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["changes"] is not None:
            terminalreporter.section(f"pins written: {found['pins']}")
            terminalreporter.line(found["changes"] or "nothing is different")


class PinsFile(pytest.File):
    """The pins of one suite."""

    def collect(self) -> Iterator[PinItem]:
        """A test for each pin, named by its cell."""
        from harness.errors import BenchError
        from harness.pins.files import cell_name, read_pins

        try:
            pins = read_pins(self.path)
        except BenchError as error:
            raise self.CollectError(str(error)) from error
        for pin in pins.pins:
            yield PinItem.from_parent(self, name=cell_name(pin.cell), suite=pins.suite)


class PinItem(pytest.Item):
    """Whether one pinned value holds."""

    def __init__(self, *, suite: Path, **options: Any) -> None:
        super().__init__(**options)
        self.suite = suite

    def runtest(self) -> None:
        """Compare; the first test of a suite runs it."""
        found = _session(self.config, self.path, self.suite)
        if found["problem"]:
            raise PinError(found["problem"])
        state, message = found["cells"].get(self.name, ("cell missing", "its pin is gone"))
        if state != "holds":
            raise PinError(f"{state}: {message}")

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """The failure in words, without a traceback."""
        if isinstance(excinfo.value, PinError):
            shown = f"{self.path}; if this is as it should be: pytest --bench-update"
            return f"{excinfo.value}\n{shown}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the pin is and its name."""
        return self.path, None, self.name


def _session(config: pytest.Config, pins: Path, suite: Path) -> dict[str, Any]:
    """What has become of the pins of a suite; found once for all processes of the session."""
    from filelock import FileLock

    from harness.keys import digest

    folder = config.stash[SESSION]
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / f"{digest(str(pins))}.json"
    with FileLock(record.with_suffix(".lock")):
        if not record.is_file():
            found = _find(config, pins, suite, folder)
            record.write_text(json.dumps({**found, "pins": str(pins)}), encoding="utf-8")
    found = json.loads(record.read_text(encoding="utf-8"))
    return dict(found)


def _find(config: pytest.Config, pins: Path, suite: Path, folder: Path) -> dict[str, Any]:
    """Run a suite, compare it with its pins and, if asked to, write them anew."""
    where = _where(config, folder)
    alone = ["--workers", "1", "--threads", "1"]
    shared = alone if hasattr(config, "workerinput") else []  # other tests run meanwhile
    pinned = [str(suite), "--pins", str(pins), *where]
    found: dict[str, Any] = {"cells": {}, "changes": None, "problem": ""}
    run = _bench(pins, "run", str(suite), *where, *shared, "--display", "none")
    if run.returncode not in RAN:
        return {**found, "problem": f"the suite cannot be run: {run.stderr.strip()}"}
    verify = _bench(pins, "verify", *pinned, "--json")
    if verify.returncode not in VERIFIED:
        return {**found, "problem": f"the pins cannot be compared: {verify.stderr.strip()}"}
    rows = json.loads(verify.stdout)
    found["cells"] = {row["cell"]: (row["state"], row["message"]) for row in rows}
    if config.getoption("--bench-update"):
        pin = _bench(pins, "pin", *pinned, "--display", "none")
        if pin.returncode not in RAN:
            return {**found, "problem": f"the pins cannot be written: {pin.stderr.strip()}"}
        found["changes"] = pin.stdout.rstrip()
        for name, (state, _) in found["cells"].items():
            if state != "cell failed":
                found["cells"][name] = ("holds", "")
    return found


def _where(config: pytest.Config, folder: Path) -> list[str]:
    """Store and data folder: those of `bench_store`, or new ones that share raw files only."""
    if store := config.getini("bench_store"):
        return ["--store", str(config.rootpath / store)]
    from harness.settings import default_data

    data, raw = folder / "data", default_data().absolute() / "raw"
    data.mkdir(exist_ok=True)
    if raw.is_dir() and not (data / "raw").exists():
        (data / "raw").symlink_to(raw, target_is_directory=True)
    return ["--store", str(folder / "store"), "--data", str(data)]


def _bench(pins: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of `bench`, in the folder that holds the folder of pins."""
    return subprocess.run(
        [*BENCH, *arguments],
        cwd=pins.parent.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
