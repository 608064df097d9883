"""The data folder: converted once, verified, opened by memory map."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from harness.data.folder import DataFolder, _write_array, fingerprint
from harness.domain import Images
from harness.errors import DataError, StoreError
from harness.suite import load_suite


@pytest.fixture
def component(tiny_suite):
    return load_suite(tiny_suite).datasets["digits"]


class Made:
    """A data set with given arrays."""

    domain = Images(1, 2, 2, bits=2)
    splits = ("train", "test")

    def __init__(self, array, stamp=""):
        self.array = array
        self.loads = 0
        self.state = stamp

    def stamp(self):
        return self.state

    def load(self, split):
        self.loads += 1
        return self.array


def made(component, array, stamp=""):
    return dataclasses.replace(component, dataset=Made(array, stamp))


GOOD = np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2)


def test_a_data_set_is_loaded_once_and_then_mapped(component, tmp_path):
    folder = DataFolder(tmp_path)
    first = made(component, GOOD)
    assert folder.find(first) is None
    prepared = folder.prepare(first)
    again = made(component, GOOD)
    assert folder.prepare(again) == prepared
    assert again.dataset.loads == 0
    loaded = prepared.load("train")
    assert isinstance(loaded, np.memmap)
    assert np.array_equal(loaded, GOOD)
    assert prepared.counts == {"train": 1, "test": 1}


def test_a_changed_stamp_means_new_content(component, tmp_path):
    folder = DataFolder(tmp_path)
    folder.prepare(made(component, GOOD, "monday"))
    other = folder.prepare(made(component, GOOD[::1] // 2, "tuesday"))
    assert np.array_equal(other.load("train"), GOOD // 2)


def stored(prepared):
    return prepared.root / "datasets" / prepared.key / "train.npy"


def test_equal_content_under_another_stamp_is_stored_once(component, tmp_path):
    folder = DataFolder(tmp_path)
    first = folder.prepare(made(component, GOOD, "here"))
    again = made(component, GOOD, "copied to another machine")
    second = folder.prepare(again)
    assert again.dataset.loads == 2  # the train and the test split
    assert second.key != first.key
    assert second.fingerprints == first.fingerprints
    assert stored(second).samefile(stored(first))
    assert np.array_equal(second.load("train"), GOOD)
    other = folder.prepare(made(component, GOOD // 2, "replaced"))
    assert not stored(other).samefile(stored(first))


def test_a_damaged_twin_is_not_shared(component, tmp_path):
    folder = DataFolder(tmp_path)
    first = stored(folder.prepare(made(component, GOOD, "monday")))
    first.write_bytes(first.read_bytes()[:-1] + b"\x00")
    second = folder.prepare(made(component, GOOD, "tuesday"))
    assert not stored(second).samefile(first)
    assert np.array_equal(second.load("train"), GOOD)


def test_without_links_equal_content_is_written_again(component, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(1, "Operation not permitted")

    folder = DataFolder(tmp_path)
    first = folder.prepare(made(component, GOOD, "monday"))
    monkeypatch.setattr("os.link", refuse)
    second = folder.prepare(made(component, GOOD, "tuesday"))
    assert not stored(second).samefile(stored(first))
    assert np.array_equal(second.load("train"), GOOD)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (GOOD.astype(np.float32), "should be uint8 of shape"),
        (GOOD.reshape(1, 1, 4, 1), "should be uint8 of shape"),
        (GOOD[:0], "train is empty"),
        (GOOD + 1, "train has values above 3"),
    ],
)
def test_data_that_is_not_what_its_domain_says(component, tmp_path, array, message):
    with pytest.raises(DataError, match=message):
        DataFolder(tmp_path).prepare(made(component, array))


def test_damage_is_seen_and_mended(component, tmp_path):
    folder = DataFolder(tmp_path)
    prepared = folder.prepare(made(component, GOOD))
    path = next(tmp_path.glob("datasets/*/train.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match="its checksum does not match"):
        prepared.load("train")
    mended = folder.prepare(made(component, GOOD))
    assert np.array_equal(mended.load("train"), GOOD)


def test_fingerprints_follow_content_and_shape():
    array = np.arange(16, dtype=np.uint8)
    found = {
        fingerprint(array.reshape(4, 1, 2, 2)),
        fingerprint(array.reshape(2, 2, 2, 2)),
        fingerprint(array[::-1].reshape(4, 1, 2, 2)),
    }
    assert len(found) == 3


def test_a_fingerprint_read_in_pieces_is_that_of_the_whole():
    import hashlib

    array = np.random.default_rng(0).integers(0, 256, (5000, 1, 2, 2), dtype=np.uint8)
    whole = hashlib.sha256(b"(5000, 1, 2, 2)" + array.tobytes()).hexdigest()
    assert fingerprint(array) == whole


def test_arrays_are_written_as_numpy_does(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (5000, 1, 2, 3), dtype=np.uint8)
    for name, written in (("whole", array), ("turned", array.transpose(0, 1, 3, 2))):
        _write_array(written, tmp_path / name)
        found = np.load(tmp_path / name)
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, written)
    np.save(tmp_path / "numpy.npy", array)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
def test_a_full_disk_is_noticed():
    with pytest.raises(OSError, match="No space left on device"):
        _write_array(np.zeros((300, 1, 2, 3), dtype=np.uint8), Path("/dev/full"))
