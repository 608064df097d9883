"""The store: complete or absent, verified, never unpickled."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from harness.errors import StoreError
from harness.store.hashing import file_sha256
from harness.store.records import Store, array_bytes, replace_file


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def write(store, content=b"content", key="key"):
    store.write("kind", key, {"file": content}, inputs={"a": 1}, facts={"b": 2})


def test_what_was_written_is_read(store):
    write(store)
    assert store.has("kind", "key")
    assert store.read("kind", "key", "file") == b"content"
    manifest = store.manifest("kind", "key")
    assert (manifest.inputs, manifest.facts) == ({"a": 1}, {"b": 2})
    assert manifest.files["file"]["bytes"] == 7


def test_nothing_is_left_under_tmp(store):
    write(store)
    assert list((store.root / "tmp").iterdir()) == []


def test_a_failing_writer_leaves_nothing(store):
    def fail(path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write(store, fail)
    assert not store.has("kind", "key")
    assert list((store.root / "tmp").iterdir()) == []


def test_a_record_is_synced_before_it_is_moved_into_place_and_the_move_after(store, monkeypatch):
    done, rename, sync = [], Path.rename, os.fsync
    monkeypatch.setattr(Path, "rename", lambda *paths: (done.append("rename"), rename(*paths)))

    def synced(descriptor):
        done.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    write(store)
    folder = store.path("kind", "key")
    parts = (folder / "file", folder / "manifest.json", folder)
    moved = ["rename", folder.parent.stat().st_ino]
    assert done == [*(path.stat().st_ino for path in parts), *moved]


def test_the_first_record_stays(store):
    write(store, b"first")
    write(store, b"second")
    assert store.read("kind", "key", "file") == b"first"


def test_a_folder_without_a_manifest_is_no_record(store):
    write(store)
    (store.path("kind", "key") / "manifest.json").unlink()
    assert not store.has("kind", "key")
    assert list(store.keys("kind")) == []


@pytest.mark.parametrize("name", ["file", "manifest.json"])
def test_every_flipped_bit_is_seen(store, name):
    write(store)
    path = store.path("kind", "key") / name
    sound = path.read_bytes()
    for position in range(0, len(sound) * 8, 7):
        damaged = bytearray(sound)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(bytes(damaged))
        try:
            value = json.loads(damaged)
            same = name == "manifest.json" and value == json.loads(sound)
        except ValueError:
            same = False
        if not same:
            with pytest.raises(StoreError, match="damaged"):
                store.read("kind", "key", "file")


@pytest.mark.parametrize("length", [0, 3])
def test_a_file_cut_short_is_seen(store, length):
    write(store)
    (store.path("kind", "key") / "file").write_bytes(b"content"[:length])
    with pytest.raises(StoreError, match="its checksum does not match"):
        store.read("kind", "key", "file")


def test_a_file_that_is_gone_is_a_clear_error(store):
    write(store)
    (store.path("kind", "key") / "file").unlink()
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        store.read("kind", "key", "file")


def test_arrays_come_back_bit_for_bit(store):
    array = np.array([[np.pi, -0.0], [np.inf, 5e-324]])
    write(store, array_bytes(array))
    found = store.read_array("kind", "key", "file")
    assert found.dtype == np.float64
    assert found.tobytes() == array.tobytes()


def test_a_pickled_array_is_refused(store):
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    write(store, buffer.getvalue())
    with pytest.raises(StoreError, match="Python objects, and bench never loads these"):
        store.read_array("kind", "key", "file")


@pytest.mark.parametrize("shape", [(10**12,), (2**62, 2**62), (2,), (-1, -3)])
def test_an_array_that_declares_another_size_allocates_nothing(store, shape):
    content = array_bytes(np.zeros(3)).replace(b"(3,)", str(shape).encode(), 1)
    shorter = content.replace(b" " * (len(str(shape)) - 4), b"", 1)  # the header keeps its length
    write(store, shorter)
    with pytest.raises(StoreError, match="cannot be read as an array"):
        store.read_array("kind", "key", "file")


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_order_of_an_array_is_kept(store, order):
    array = np.asarray(np.arange(6.0).reshape(2, 3), order=order)
    write(store, array_bytes(array))
    found = store.read_array("kind", "key", "file")
    assert (found == array).all()
    assert found.flags.writeable


def test_a_record_in_quarantine_can_be_written_anew(store):
    write(store, b"first")
    target = store.quarantine("kind", "key")
    assert (target / "file").read_bytes() == b"first"
    write(store, b"second")
    assert store.read("kind", "key", "file") == b"second"


def test_keys_are_listed_in_order(store):
    for key in ("b/epoch-2", "a", "b/epoch-1"):
        write(store, key=key)
    assert list(store.keys("kind")) == ["a", "b/epoch-1", "b/epoch-2"]


def test_replacing_a_file_is_all_or_nothing(tmp_path):
    path = tmp_path / "folder" / "file"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [item.name for item in path.parent.iterdir()] == ["file"]
    assert file_sha256(path) == (
        "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
    )


def test_what_is_left_of_a_record_without_its_manifest_is_in_nobodys_way(store):
    write(store, b"first")
    (store.path("kind", "key") / "manifest.json").unlink()
    write(store, b"second")
    assert store.read("kind", "key", "file") == b"second"
    (aside,) = (store.root / "quarantine").iterdir()
    assert [path.name for path in aside.iterdir()] == ["file"]
