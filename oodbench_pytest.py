"""The pytest plugin: a test for each cell of each suite that has pins.

It is installed with the distribution. Pins are files `pins/*.toml` that `bench pin` wrote; pytest
without arguments takes in those of its root folder too, whatever `testpaths` says. A suite is run
once a session, however many processes share the tests, in a store that is thrown away unless the
ini option `bench_store` names one: what is stored was computed by the code of that day.

Every project in whose environment the distribution is installed loads this module, and may have a
`harness` or `plugins` of its own. Whatever needs ours is therefore asked of another process.
"""

from __future__ import annotations

import hashlib
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
ASK = (sys.executable, "-P", "-m", "oodbench._start", "harness.regression.pinned_tests")
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
        session = json.loads(path.read_text(encoding="utf-8"))
        if session.get("changes") is not None:
            terminalreporter.section(f"pins written: {session['pins']}")
            terminalreporter.line(session["changes"] or "nothing is different")


class PinsFile(pytest.File):
    """The pins of one suite."""

    def collect(self) -> Iterator[PinItem]:
        """A test for each pin, named by its cell."""
        pinned = _once(self.config, self.path, {"ask": "cells", "pins": str(self.path)})
        if pinned.get("problem"):
            raise self.CollectError(pinned["problem"])
        for name in pinned["cells"]:
            yield PinItem.from_parent(self, name=name)


class PinItem(pytest.Item):
    """Whether one pinned value holds."""

    def runtest(self) -> None:
        """Compare; the first test of a suite runs it."""
        session = _once(self.config, self.path, _session_request(self.config, self.path))
        if session["problem"]:
            raise PinError(session["problem"])
        state, message = session["cells"].get(self.name, ("cell missing", "its pin is gone"))
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


def _session_request(config: pytest.Config, pins: Path) -> dict[str, Any]:
    """Run the suite of some pins and compare."""
    store = config.getini("bench_store")
    alone = ["--workers", "1", "--threads", "1"]
    return {
        "ask": "session",
        "pins": str(pins),
        "folder": str(config.stash[SESSION]),
        "store": str(config.rootpath / store) if store else None,
        "update": config.getoption("--bench-update"),
        "options": alone if hasattr(config, "workerinput") else [],  # other tests run meanwhile
    }


def _once(config: pytest.Config, pins: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request, asked once for all processes of the session."""
    from filelock import FileLock

    folder = config.stash[SESSION]
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{request['ask']}-{hashlib.sha256(str(pins).encode()).hexdigest()[:32]}"
    record = folder / f"{name}.json"
    with FileLock(folder / f"{name}.lock"):
        if not record.is_file():
            record.write_text(json.dumps({**_answer(request), "pins": str(pins)}), "utf-8")
    return dict(json.loads(record.read_text(encoding="utf-8")))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [*ASK, json.dumps(request)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        return {"problem": done.stderr.strip()}
    return dict(json.loads(done.stdout))
