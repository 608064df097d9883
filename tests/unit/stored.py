"""A store with the results of a tiny suite, made once and copied for each test."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from pathlib import Path

from harness.data.folder import DataFolder
from harness.maintenance.required import RequiredRecords
from harness.run.outcome import score_stored
from harness.run.prepare import plan_unopened
from harness.run.run import run
from harness.store.records import Store
from harness.suite import load_suite
from tests.conftest import TINY_SUITE
from tests.places import settings_in

SMALL = (
    TINY_SUITE.replace('"typicality", "gradient-gaussian"', '"typicality"')
    .replace("group_sizes = [1, 5]", "group_sizes = 1")
    .replace('out = "others"', 'out = "noise"')
)
"""12 statistics less than the tiny suite: 2 epochs, one model, one OOD set."""


def make(folder: Path) -> Path:
    """Run a small suite in a folder; its `store`, `data` and `small.toml`."""
    folder.mkdir(parents=True, exist_ok=True)
    suite = folder / "small.toml"
    suite.write_text(textwrap.dedent(SMALL), encoding="utf-8")
    run(load_suite(suite), settings_in(folder), lambda event: None)
    return folder


def copy(made: Path, folder: Path) -> Path:
    """A copy to be changed."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder


def store(folder: Path) -> Store:
    return Store(folder / "store")


def results(folder: Path, suite: Path | None = None):
    """What a report shows, as JSON values."""
    plan = plan_unopened(load_suite(suite or folder / "small.toml"), settings_in(folder))
    outcome = score_stored(plan, settings_in(folder), lambda event: None)
    return [item.to_json() for item in outcome.results]


def needs(folder: Path, *suites: Path) -> RequiredRecords:
    found = RequiredRecords()
    for suite in suites or (folder / "small.toml",):
        resolved = load_suite(suite)
        plan = plan_unopened(resolved, settings_in(folder))
        found.add(plan, store(folder), dict(resolved.datasets))
    return found


def plan_of(folder: Path):
    resolved = load_suite(folder / "small.toml")
    return plan_unopened(resolved, settings_in(folder)), dict(resolved.datasets)


def make_old(path: Path, hours: float = 5) -> None:
    """As if nothing under a path had been written for hours."""
    moment = time.time() - 3600 * hours
    for item in [*path.rglob("*"), path]:
        os.utime(item, (moment, moment), follow_symlinks=False)


def data_folder(folder: Path) -> DataFolder:
    return DataFolder(folder / "data")
