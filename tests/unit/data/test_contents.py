"""Digests of examples: equal for equal examples, computed once, kept with the data folder."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

from harness.data import contents
from harness.data.cards import card_bytes, card_inputs
from harness.data.contents import Contents, digest_examples, distinct, find_contents, keep_contents
from harness.data.folder import DataFolder, find_described
from harness.store.hashing import digest
from harness.store.layout import CONTENTS, DATASETS, MANIFEST
from harness.store.records import Store, manifest_bytes
from harness.suite import load_suite

RNG = np.random.default_rng(0)


@pytest.fixture
def noise(tiny_suite):
    return load_suite(tiny_suite).datasets["noise"]


def slow(example):
    """The digest of one example, by whole numbers of Python."""
    data = example.tobytes()
    data += bytes(-len(data) % 4)
    words = [int.from_bytes(data[k : k + 4], "little") for k in range(0, len(data), 4)]
    factors = np.random.PCG64(1).random_raw(len(words))
    return (
        sum(word * (int(factor) | 1) for word, factor in zip(words, factors, strict=True)) % 2**64
    )


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 5), (1, 1, 1), (1, 3, 2)])
def test_the_hash_is_multilinear(shape):
    examples = RNG.integers(0, 256, (9, *shape), dtype=np.uint8)
    digests, largest = digest_examples(examples)
    assert digests.dtype == np.uint64
    assert digests.tolist() == [slow(example) for example in examples]
    assert largest == examples.max()


@pytest.mark.parametrize("piece", [1, 64, 10**6])
def test_digests_do_not_depend_on_pieces_and_memory_order(monkeypatch, piece):
    examples = RNG.integers(0, 200, (50, 3, 4, 5), dtype=np.uint8)
    expected = digest_examples(examples)
    monkeypatch.setattr(contents, "PIECE", piece)
    channels_last = np.ascontiguousarray(examples.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for view in (examples, channels_last, np.asfortranarray(examples)):
        digests, largest = digest_examples(view)
        np.testing.assert_array_equal(digests, expected[0])
        assert largest == expected[1] == 199


def test_a_change_of_any_value_changes_the_digest():
    examples = np.zeros((1 + 64 * 255, 64), np.uint8)
    for place in range(64):
        examples[1 + place * 255 : 1 + (place + 1) * 255, place] = np.arange(1, 256)
    digests, _ = digest_examples(examples.reshape(-1, 1, 8, 8))
    assert len(set(digests.tolist())) == len(examples)


def test_examples_of_two_values_differ():
    """All of the 65,536 images of 4 x 4 pixels that are black or half white."""
    bits = np.arange(2**16)[:, np.newaxis] >> np.arange(16) & 1
    for value in (1, 128, 255):
        examples = (bits * value).astype(np.uint8).reshape(-1, 1, 4, 4)
        assert len(Contents.of(examples).distinct) == 2**16


def test_distinct_digests_are_sorted():
    digests = np.array([3, 1, 3, 2**63, 1], np.uint64)
    assert distinct(digests).tolist() == [1, 3, 2**63]


@pytest.mark.parametrize(
    ("values", "is_constant"),
    [([[7, 7], [7, 7]], True), ([[7, 6], [7, 6]], False), ([[7, 7], [6, 6]], False)],
)
def test_a_split_is_constant_if_all_values_are_equal(values, is_constant):
    found = Contents.of(np.uint8(values).reshape(2, 1, 1, 2))
    assert (found.largest, found.is_constant) == (7, is_constant)


def test_a_conversion_keeps_the_contents(noise, tmp_path, monkeypatch):
    prepared = DataFolder(tmp_path).prepare(noise)
    expected = Contents.of(prepared.load("test"))
    monkeypatch.setattr(Contents, "of", None)
    found = prepared.contents("test")
    np.testing.assert_array_equal(found.digests, expected.digests)
    assert (found.largest, found.is_constant) == (expected.largest, False)
    assert len(list(DataFolder(tmp_path).store.keys(CONTENTS))) == 2


def test_data_converted_before_contents_were_kept_gets_them_once(noise, tmp_path, monkeypatch):
    folder = DataFolder(tmp_path)
    before = folder.prepare(noise)
    shutil.rmtree(tmp_path / CONTENTS)
    path = tmp_path / DATASETS / before.key / MANIFEST
    manifest = json.loads(path.read_bytes())
    facts = {name: manifest["facts"][name] for name in ("counts", "fingerprints", "plugin")}
    path.write_bytes(manifest_bytes(manifest["inputs"], manifest["files"], facts))
    written = path.stat().st_mtime_ns

    prepared = folder.prepare(noise)
    assert prepared == before
    assert prepared.stored_contents("test") is None
    expected = Contents.of(prepared.load("test"))
    np.testing.assert_array_equal(prepared.contents("test").digests, expected.digests)
    assert path.stat().st_mtime_ns == written
    monkeypatch.setattr(Contents, "of", None)
    np.testing.assert_array_equal(prepared.contents("test").digests, expected.digests)


def test_damaged_contents_are_made_again(noise, tmp_path):
    prepared = DataFolder(tmp_path).prepare(noise)
    expected = prepared.contents("test").digests
    for file in tmp_path.glob(f"{CONTENTS}/*/digests.npy"):
        file.write_bytes(b"x")
    assert prepared.stored_contents("test") is None
    np.testing.assert_array_equal(prepared.contents("test").digests, expected)
    np.testing.assert_array_equal(prepared.stored_contents("test").digests, expected)


def test_contents_of_another_number_of_examples_are_not_used(tmp_path):
    store, found = Store(tmp_path), Contents.of(RNG.integers(0, 9, (5, 1, 2, 2), dtype=np.uint8))
    keep_contents(store, "f", found)
    assert find_contents(store, "f", 4) is None
    assert find_contents(store, "g", 5) is None
    assert find_contents(store, "f", 5).digests.tolist() == found.digests.tolist()


def test_a_folder_that_cannot_be_written_is_used_as_it_is(noise, tmp_path, monkeypatch):
    prepared = DataFolder(tmp_path).prepare(noise)
    shutil.rmtree(tmp_path / CONTENTS)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Store, "write", refuse)
    assert len(prepared.contents("test").digests) == prepared.counts["test"]
    assert not (tmp_path / CONTENTS).exists()


def test_a_card_has_the_contents_that_came_with_it(noise, tmp_path):
    prepared = DataFolder(tmp_path / "data").prepare(noise)
    prepared = dataclasses.replace(prepared, notes=("1 file was passed over: 1 .heic",))
    store, key = Store(tmp_path / "store"), digest(card_inputs(noise))
    store.path(DATASETS, key).mkdir(parents=True)
    (store.path(DATASETS, key) / MANIFEST).write_bytes(card_bytes(noise, prepared))
    card = find_described(store, key, noise)
    assert card.notes == prepared.notes
    assert card.contents("test") is None
    keep_contents(store, prepared.fingerprints["test"], prepared.contents("test"))
    assert card.contents("test").digests.tolist() == prepared.contents("test").digests.tolist()
