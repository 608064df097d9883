"""The pytest plugin: one test for each pinned cell in each suite.

The plugin is installed with the distribution. Pins are files `pins/*.toml` written by
`bench pin`; without arguments, pytest also collects pins in its root folder, regardless of
`testpaths`. Each suite runs once per session, however many processes share the tests, in a
temporary store. The ini option `bench_store` names a store to use instead; stored results come
from the code that was current when they were computed.

Every project with this distribution in its environment loads this module, may have any version of
pytest, and may have other packages named `harness` or `plugins`. Therefore a session without pins
gets nothing but the options, and all work that needs the distribution's packages runs in another
process.
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
HEADING = "Pinned values, written by `bench pin`"
KEYS = (r"^format\s*=", r"^suite\s*=", r"^\[\[cells\]\]")
"""Beginnings of lines that a pin file has, even one without the heading."""

ASK = (sys.executable, "-P", "-m", "oodbench._start", "harness.regression.pinned_tests")


class PinError(Exception):
    """A pinned value that does not hold; the text explains the failure."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `--bench-update` and the ini option `bench_store`."""
    group = parser.getgroup("bench", "pinned values of bench suites")
    group.addoption(
        "--bench-update",
        action="store_true",
        help="Write new pins for all collected suites, and show the differences.",
    )
    parser.addini(
        "bench_store",
        "Store, relative to the root folder, with results to compare with the pins; by default "
        "each suite runs in a temporary store.",
        default="",
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Collect the project's pins, unless the command line says what to test."""
    pins = config.rootpath / FOLDER
    ours = [path for path in sorted(pins.glob("*.toml")) if is_ours(path)]
    if not hasattr(type(config), "ArgsSource"):
        if ours:
            config.pluginmanager.register(TooOld(ours[0]))
        return
    config.pluginmanager.register(Session(config))
    if config.args_source is config.ArgsSource.TESTPATHS:
        given = {Path(config.rootpath, arg) for arg in config.args}
        if given.isdisjoint((pins, *pins.parents)) and not _is_ignored(pins, config):
            found = [str(path) for path in ours if not _is_ignored(path, config)]
            config.args[:0] = found  # longest first, because processes share the tests


def is_ours(path: Path) -> bool:
    """Return True for a pin file written by `bench pin`, even if damaged since."""
    if path.suffix != ".toml" or path.parent.name != FOLDER:
        return False
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return HEADING in text or all(re.search(key, text, re.MULTILINE) for key in KEYS)


def _is_ignored(path: Path, config: pytest.Config) -> bool:
    """Return True for a path left out by `--ignore` and the like, which arguments override."""
    return bool(config.hook.pytest_ignore_collect(collection_path=path, config=config))


class TooOld:
    """The hooks for a version of pytest that cannot test pins."""

    def __init__(self, pins: Path) -> None:
        self.pins = pins

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Refuse to end a session as passed whose pins were not tested."""
        raise pytest.UsageError(
            f"{self.pins}: pins need pytest 7.2 or newer, this is {pytest.__version__}; "
            "-p no:oodbench leaves pins out"
        )


class Session:
    """The hooks that test pins, and the folder of files computed in a session.

    All processes of pytest-xdist share the folder. It does not exist before pins were collected.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.is_worker = hasattr(config, "workerinput")
        given = getattr(config, "workerinput", {})
        self.name: str = given.get("bench_pins") or f"bench-pins-{uuid.uuid4().hex}"

    @property
    def folder(self) -> Path:
        """The folder; pytest-xdist starts all processes with the same temporary folder."""
        return Path(tempfile.gettempdir(), self.name)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a pytest-xdist process the name of the shared folder."""
        node.workerinput["bench_pins"] = self.name

    @pytest.hookimpl(optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item) -> bool | None:
        """Keep pytest-timeout from ending a run of a suite, which is not a part of any test."""
        return True if isinstance(item, PinItem) else None

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> PinsFile | None:
        """Collect pin files."""
        if not is_ours(file_path):
            return None
        file: PinsFile = PinsFile.from_parent(parent, path=file_path)
        file.bench = self
        return file

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show the changes made by `--bench-update`."""
        for path in sorted(self.folder.glob("session-*.json")):
            session = json.loads(path.read_text(encoding="utf-8"))
            if session.get("changes") is not None:
                terminalreporter.section(f"pins written: {session['pins']}")
                terminalreporter.line(session["changes"] or "no differences")

    def pytest_unconfigure(self) -> None:
        """Delete the files computed in this session."""
        if not self.is_worker:
            shutil.rmtree(self.folder, ignore_errors=True)

    def once(self, request: dict[str, Any], asked_by: str) -> dict[str, Any]:
        """Return the answer to a request, made only once for all processes in the session.

        Arguments:
            request: What to ask about a pin file.
            asked_by: Node identifier of the test; the answer has that of the first one asking.
        """
        from filelock import FileLock

        self.folder.mkdir(mode=0o700, exist_ok=True)
        pins = hashlib.sha256(request["pins"].encode()).hexdigest()[:32]
        record = self.folder / f"{request['ask']}-{pins}.json"
        with FileLock(record.with_suffix(".lock")):
            if not record.is_file():
                answer = {**_answer(request), "pins": request["pins"], "first": asked_by}
                record.write_text(json.dumps(answer), encoding="utf-8")
        return dict(json.loads(record.read_text(encoding="utf-8")))

    def request(self, pins: Path) -> dict[str, Any]:
        """Return the request to run a suite and compare the results with the pins."""
        store = self.config.getini("bench_store")
        alone = ["--workers", "1", "--threads", "1"]
        return {
            "ask": "session",
            "pins": str(pins),
            "folder": str(self.folder),
            "store": str(self.config.rootpath / store) if store else None,
            "update": self.config.getoption("--bench-update"),
            "options": alone if self.is_worker else [],  # other tests run in parallel
        }


class PinsFile(pytest.File):
    """The pins for one suite."""

    bench: Session

    def collect(self) -> Iterator[PinItem]:
        """Yield a test for each pin, with the cell as its name."""
        pinned = self.bench.once({"ask": "cells", "pins": str(self.path)}, self.nodeid)
        if pinned.get("problem"):
            raise self.CollectError(pinned["problem"])
        for name in pinned["cells"]:
            item: PinItem = PinItem.from_parent(self, name=name)
            item.bench = self.bench
            yield item


class PinItem(pytest.Item):
    """A test that one pinned value holds."""

    bench: Session

    def runtest(self) -> None:
        """Compare the value with the pin; the first test in a suite runs the suite.

        The suite runs here and not in a setup, so that it does not run for tests that another
        plugin skips. If the suite cannot run, the first test fails and the others are skipped.
        """
        session = self.bench.once(self.bench.request(self.path), self.nodeid)
        if session["problem"]:
            if session["first"] != self.nodeid:
                pytest.skip(f"not compared, for the same reason as {session['first']}")
            raise PinError(session["problem"])
        state, message = session["cells"].get(self.name, ("cell missing", "the pin is gone"))
        if state != "holds":
            shown = f"{self.path}; if the new value is correct, run pytest --bench-update"
            raise PinError(f"{state}: {message}\n{shown}")

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Return the failure message without a traceback."""
        if isinstance(excinfo.value, PinError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the pin file, its first line, and a heading; a skipped test needs a line."""
        return self.path, 0, f"pin {self.name}"


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
