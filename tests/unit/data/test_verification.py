"""Verification: what is stored, compared with the raw data that it was made from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.data.catalog import find_datasets
from harness.data.folder import DataFolder
from harness.data.verification import verify
from harness.errors import DataError, MissingDataError
from harness.suite import load_suite

SUITE = """
    [training.brief]

    [models.flow]
    plugin = "glow"
    options = {{ levels = 1, steps = 1, width = 4 }}
    training = "brief"

    [datasets.own]
    plugin = "{plugin}"
    options = {{ path = "{path}", size = 4, channels = 1 }}

    [datasets.mirrored]
    plugin = "transformed"
    options = {{ source = "own", transform = "flip-horizontal" }}

    [datasets.noise]
    plugin = "noise"
    options = {{ height = 4, width = 4, n_train = 4, n_test = 4 }}

    [[comparisons]]
    models = "flow"
    in = "own"
    out = ["mirrored", "noise"]
    epochs = 0
    scorers = "typicality"
"""
IMAGES = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)


@pytest.fixture
def folder(tmp_path):
    return DataFolder(tmp_path / "data")


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own"
    path.mkdir()
    np.save(path / "train.npy", IMAGES)
    np.save(path / "test.npy", IMAGES + 64)
    return path


@pytest.fixture
def suite(write_suite, own):
    return write_suite(SUITE.format(plugin="folder", path=own))


@pytest.fixture
def converted(folder, suite):
    components = find_datasets([str(suite)])
    for component in components:
        folder.prepare(component)
    return components


def outcomes(folder, components=(), requested=()):
    found = verify(folder, components, requested)
    return {item.name.partition("(")[0]: (item.problem, item.source) for item in found}


def test_all_sets_are_compared_with_or_without_names(folder, converted):
    same = dict.fromkeys(["folder", "transformed", "noise"], ("", "same"))
    assert outcomes(folder) == outcomes(folder, converted) == same


class Fooled:
    """A data set whose stamp does not notice what its files have become."""

    splits = ("train", "test")

    def __init__(self, dataset, test):
        self.domain = dataset.domain
        self._load, self._stamp, self._test = dataset.load, dataset.stamp(), test

    def stamp(self):
        return self._stamp

    def load(self, split):
        if split == "test" and isinstance(self._test, Exception):
            raise self._test
        return self._test if split == "test" else self._load(split)


def fooled(component, test):
    return dataclasses.replace(component, dataset=Fooled(component.dataset, test))


def test_raw_data_that_changed_under_the_same_stamp_is_found(folder, converted, own):
    other = IMAGES.reshape(4, 1, 4, 4) + 65
    component = fooled(converted[0], other)
    before = folder.find(component)
    (found,) = verify(folder, [component])
    assert found.problem.startswith(
        "test is not what the raw data has now, although the stamp is the same; set aside as "
    )
    assert (found.source, found.key) == ("", before.key)
    assert folder.find(component) is None
    after = folder.prepare(component)
    assert np.array_equal(after.load("test"), other)
    assert after.fingerprints["test"] != before.fingerprints["test"]
    assert after.fingerprints["train"] == before.fingerprints["train"]


def test_a_split_that_is_gone_is_a_difference(folder, converted):
    component = fooled(converted[0], IMAGES)
    component.dataset.splits = ("train",)
    (found,) = verify(folder, [component])
    assert found.problem.startswith("the raw data has the splits train; set aside as ")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("test.npy is damaged"), "raw data: test.npy is damaged"),
        (ZeroDivisionError("oh"), "raw data: ZeroDivisionError: oh"),
    ],
)
def test_raw_data_that_cannot_be_read_spares_what_is_stored(folder, converted, error, expected):
    component = fooled(converted[0], error)
    (found,) = verify(folder, [component])
    assert (found.problem, found.source) == (expected, "")
    assert folder.find(component) is not None


def test_what_cannot_be_compared_says_why(folder, converted, own):
    np.save(own / "test.npy", IMAGES + 65)
    older = "not compared: converted from an earlier state of the raw files"
    assert outcomes(folder) == {
        "folder": ("", older),
        "transformed": ("", older),
        "noise": ("", "same"),
    }
    own.rename(own.with_name("elsewhere"))
    gone = "not compared: raw files are missing"
    assert outcomes(folder)["folder"] == outcomes(folder)["transformed"] == ("", gone)
    with pytest.raises(MissingDataError):
        outcomes(folder, converted)


PLUGIN = """
    import numpy as np
    from oodbench import Entry, Images, hookimpl

    @hookimpl
    def bench_datasets():
        return [Entry("mine", ":Mine", "zeros")]

    class Mine:
        splits = ("test",)
        domain = Images(1, 4, 4)

        def load(self, split):
            return np.zeros((3, 1, 4, 4), np.uint8)
"""


def test_a_set_of_a_plugin_file_is_compared_where_the_file_is_named(folder, write_suite):
    path = str(write_suite(PLUGIN, "mine.py"))
    folder.prepare(find_datasets(["mine"], [path])[0])
    assert outcomes(folder, requested=[path]) == {"mine": ("", "same")}
    unknown = "not compared: plugin 'mine' is not known; name its file with -p"
    assert outcomes(folder) == {"mine": ("", unknown)}
    write_suite(PLUGIN + "        # edited\n", "mine.py")
    changed = "not compared: plugin 'mine' has changed since the conversion"
    assert outcomes(folder, requested=[path]) == {"mine": ("", changed)}


def test_a_copy_whose_states_differ_is_read_again_and_keeps_its_keys(
    folder, converted, own, suite, monkeypatch
):
    """As after a copy of all folders to another machine; large files count by their states."""
    monkeypatch.setattr("plugins.datasets._common.HASHED_BYTES", 0)
    before = [folder.prepare(component) for component in converted]
    inode = (own / "test.npy").stat().st_ino
    for name in ("train", "test"):
        copy = own / f"{name}.copy"
        copy.write_bytes((own / f"{name}.npy").read_bytes())
        copy.replace(own / f"{name}.npy")
    assert (own / "test.npy").stat().st_ino != inode
    components = list(load_suite(suite).datasets.values())
    assert folder.find(components[0]) is None
    after = {item.name: folder.prepare(item) for item in components}
    for item in before:
        assert after[item.name].fingerprints == item.fingerprints
        assert after[item.name].counts == item.counts
    assert after["own"].key != before[0].key
