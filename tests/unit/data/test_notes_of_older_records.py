"""Notes of `bench data verify` on data sets that were converted before notes existed."""

from __future__ import annotations

import shutil

import numpy as np
import PIL.Image
import pytest

from harness.data.catalog import find_datasets
from harness.data.folder import DataFolder
from harness.data.verification import verify
from harness.store.layout import CONTENTS, DATASETS, MANIFEST
from harness.store.records import manifest_bytes

PLUGIN = """
    from pathlib import Path
    from oodbench import Entry, hookimpl
    from plugins.datasets.folder import Folder

    @hookimpl
    def bench_datasets():
        return [Entry("mine", ":Mine", "pictures of one's own")]

    class Mine(Folder):
        def __init__(self):
            super().__init__(path=Path("{path}"), size=4, channels=1)
"""
COPIES = "4 of 4 test examples of mine are also in its train split"
PASSED_OVER = "mine: 1 file was passed over: 1 .heic"


@pytest.fixture
def own(tmp_path):
    """Four pictures, each in train and in test, and a file that is no picture."""
    pictures = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
    for split in ("train", "test"):
        (tmp_path / "own" / split).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            PIL.Image.fromarray(picture).save(tmp_path / "own" / split / f"{number}.png")
    (tmp_path / "own" / "train" / "a.heic").touch()
    return tmp_path / "own"


@pytest.fixture
def plugin(write_suite, own):
    return str(write_suite(PLUGIN.format(path=own), "mine.py"))


@pytest.fixture
def folder(tmp_path, plugin):
    """A data folder in which the data set is converted, as an earlier version left it."""
    folder = DataFolder(tmp_path / "data")
    folder.prepare(find_datasets(["mine"], [plugin])[0])
    make_older(folder, {"domain", "notes"})
    return folder


def make_older(folder, facts):
    """Take facts from the only record, and the digests of its examples."""
    (key,) = folder.store.keys(DATASETS)
    manifest = folder.store.manifest(DATASETS, key)
    kept = {name: fact for name, fact in manifest.facts.items() if name not in facts}
    content = manifest_bytes(manifest.inputs, manifest.files, kept)
    (folder.store.path(DATASETS, key) / MANIFEST).write_bytes(content)
    shutil.rmtree(folder.store.root / CONTENTS, ignore_errors=True)


def found(folder, *arguments):
    (item,) = verify(folder, *arguments)
    assert not item.problem
    return item


def unknown(folder, what):
    (key,) = folder.store.keys(DATASETS)
    return (
        f"{what} unknown: mine was converted before they were kept; to convert it again, delete "
        f"{folder.store.path(DATASETS, key)}"
    )


@pytest.mark.parametrize("is_named", [True, False])
def test_notes_come_from_the_raw_data_and_the_stored_arrays(folder, plugin, is_named):
    components = find_datasets(["mine"], [plugin]) if is_named else []
    assert found(folder, components, [plugin]).notes == [PASSED_OVER, COPIES]


def test_without_raw_data_the_remarks_of_the_plugin_are_unknown(folder, plugin, own):
    own.rename(own.with_name("elsewhere"))
    item = found(folder, [], [plugin])
    assert item.source == "not compared: raw files are missing"
    remarks = unknown(folder, "remarks of the plugin on its files are")
    assert item.notes == [COPIES, remarks]
    own.with_name("elsewhere").rename(own)
    shutil.rmtree(remarks.partition("delete ")[2])
    folder.prepare(find_datasets(["mine"], [plugin])[0])
    assert found(folder, [], [plugin]).notes == [PASSED_OVER, COPIES]


def test_without_the_plugin_and_the_domain_all_notes_are_unknown(folder):
    assert found(folder).notes == [unknown(folder, "notes on the data are")]


def test_without_the_plugin_the_stored_arrays_have_notes(tmp_path, plugin):
    folder = DataFolder(tmp_path / "data")
    folder.prepare(find_datasets(["mine"], [plugin])[0])
    make_older(folder, {"notes"})
    remarks = unknown(folder, "remarks of the plugin on its files are")
    assert found(folder).notes == [COPIES, remarks]


def test_a_data_set_that_makes_no_remarks_lacks_none(tmp_path):
    folder, (noise,) = DataFolder(tmp_path / "data"), find_datasets(["noise"])
    folder.prepare(noise)
    make_older(folder, {"domain", "notes"})
    assert found(folder).notes == []
