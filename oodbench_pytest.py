"""The pytest plugin: one test for each pinned cell in each suite.

The plugin is installed with the distribution. Pins are files `pins/*.toml` written by
`bench pin`; without arguments, pytest also collects pins in its root folder, regardless of
`testpaths`. Each suite runs once per session, however many processes share the tests, in a
temporary store. The ini option `bench_store` names a store to use instead; stored results come
from the code that was current when they were computed.

Every project with this distribution in its environment loads this module, and may have other
packages named `harness` or `plugins`. Therefore all work that needs the distribution's packages
runs in another process.
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


def pytest_configure(config: pytest.Config) -> None:
    """Collect the project's pins, unless the command line says what to test."""
    worker_input = getattr(config, "workerinput", {})
    name = f"bench-pins-{uuid.uuid4().hex}"
    config.stash[SESSION] = Path(
        worker_input.get("bench_pins") or Path(tempfile.gettempdir(), name)
    )
    folder = config.rootpath / FOLDER
    if config.args_source is config.ArgsSource.TESTPATHS and any(folder.glob("*.toml")):
        config.args.insert(0, str(folder))  # longest first, because processes share the tests


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a pytest-xdist process which folder all processes share."""
    node.workerinput["bench_pins"] = str(node.config.stash[SESSION])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Delete the files computed in this session."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(config.stash[SESSION], ignore_errors=True)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> PinsFile | None:
    """Collect pin files."""
    if file_path.suffix != ".toml" or file_path.parent.name != FOLDER:
        return None
    text = file_path.read_text(encoding="utf-8", errors="replace")
    return PinsFile.from_parent(parent, path=file_path) if OURS.search(text) else None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the changes made by `--bench-update`."""
    for path in sorted(config.stash[SESSION].glob("*.json")):
        session = json.loads(path.read_text(encoding="utf-8"))
        if session.get("changes") is not None:
            terminalreporter.section(f"pins written: {session['pins']}")
            terminalreporter.line(session["changes"] or "no differences")


class PinsFile(pytest.File):
    """The pins for one suite."""

    def collect(self) -> Iterator[PinItem]:
        """Yield a test for each pin, with the cell as its name."""
        pinned = _once(self.config, self.path, {"ask": "cells", "pins": str(self.path)})
        if pinned.get("problem"):
            raise self.CollectError(pinned["problem"])
        for name in pinned["cells"]:
            yield PinItem.from_parent(self, name=name)


class PinItem(pytest.Item):
    """A test that one pinned value holds."""

    def runtest(self) -> None:
        """Compare the value with the pin; the first test in a suite runs the suite."""
        session = _once(self.config, self.path, _session_request(self.config, self.path))
        if session["problem"]:
            raise PinError(session["problem"])
        state, message = session["cells"].get(self.name, ("cell missing", "the pin is gone"))
        if state != "holds":
            raise PinError(f"{state}: {message}")

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Return the failure message without a traceback."""
        if isinstance(excinfo.value, PinError):
            shown = f"{self.path}; if the new value is correct, run pytest --bench-update"
            return f"{excinfo.value}\n{shown}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the pin file and the name of the cell."""
        return self.path, None, self.name


def _session_request(config: pytest.Config, pins: Path) -> dict[str, Any]:
    """Return the request to run a suite and compare the results with the pins."""
    store = config.getini("bench_store")
    alone = ["--workers", "1", "--threads", "1"]
    return {
        "ask": "session",
        "pins": str(pins),
        "folder": str(config.stash[SESSION]),
        "store": str(config.rootpath / store) if store else None,
        "update": config.getoption("--bench-update"),
        "options": alone if hasattr(config, "workerinput") else [],  # other tests run in parallel
    }


def _once(config: pytest.Config, pins: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request, made only once for all processes in the session."""
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
