"""A data folder that was copied to another place, where other users can only read it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from harness.data.catalog import find_datasets
from harness.data.folder import DataFolder
from harness.suite import load_suite
from tests.unit.data.test_verification import IMAGES, SUITE
from tests.unit.plugins.published_files import write_kmnist

NOBODY = 65534


pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def place(monkeypatch):
    """A folder that other users can enter, unlike those of pytest; all files count as large."""
    monkeypatch.setattr("plugins.datasets._common.HASHED_BYTES", 0)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def kmnist():
    """KMNIST, of which a small sample is enough."""
    (component,) = find_datasets(["kmnist"])
    component.dataset.verify = False
    return component


def key_for_a_reader(folder, component):
    """The key of the data set found by a process that may only read; nothing if none is found."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222 | 0o444)
    reading, writing = os.pipe()
    if os.fork() == 0:
        if os.getuid() == 0:
            os.setuid(NOBODY)
        found = DataFolder(folder).find(component)
        os.write(writing, b"nothing" if found is None else found.key.encode())
        os._exit(0)
    os.wait()
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)
    return os.read(reading, 100).decode()


def test_a_copy_that_can_only_be_read_is_used(place, monkeypatch):
    first, copy = place / "first", place / "copy"
    write_kmnist(first / "raw")
    monkeypatch.setenv("BENCH_DATA", str(first))
    before = DataFolder(first).prepare(kmnist())
    shutil.copytree(first, copy)
    monkeypatch.setenv("BENCH_DATA", str(copy))
    assert DataFolder(copy).key(kmnist()) != before.key
    assert DataFolder(copy).find(kmnist()) is None  # it can be converted anew
    assert key_for_a_reader(copy, kmnist()) == before.key


def test_private_files_of_another_state_are_not_taken_for_the_old_ones(place, write_suite):
    own, folder = place / "own", place / "data"
    own.mkdir()
    np.save(own / "train.npy", IMAGES)
    np.save(own / "test.npy", IMAGES + 64)
    suite = load_suite(write_suite(SUITE.format(plugin="folder", path=own)))
    before = DataFolder(folder).prepare(suite.datasets["own"])
    assert key_for_a_reader(folder, suite.datasets["own"]) == before.key
    np.save(own / "test.npy", IMAGES + 65)
    assert key_for_a_reader(folder, suite.datasets["own"]) == "nothing"
