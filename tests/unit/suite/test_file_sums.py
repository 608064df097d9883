"""Checksums of files: large files are read again only if they may have changed."""

from __future__ import annotations

import hashlib
import os
import time

import pytest

from harness.suite import file_sums
from harness.suite.file_sums import READ_ALWAYS, forget, sha256_of

LARGE = READ_ALWAYS + 1


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache of this test; every file counts as old enough."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(file_sums, "SETTLED", -3600)
    return tmp_path / "cache" / "oodbench" / "sums"


@pytest.fixture
def reads(monkeypatch):
    """The names of the files read so far, in order."""
    found, read = [], file_sums._read

    def note(file):
        found.append(file.name)
        return read(file)

    monkeypatch.setattr(file_sums, "_read", note)
    return found


def written(file, letter, size=LARGE):
    """Write a file, and wait until the clock of the file system has moved on."""
    file.write_bytes(letter * size)
    time.sleep(0.02)
    return hashlib.sha256(letter * size).hexdigest()


def test_a_large_file_is_read_once_and_a_small_one_every_time(tmp_path, reads):
    sums = [written(tmp_path / "large", b"a"), written(tmp_path / "small", b"b", READ_ALWAYS)]
    for _ in range(3):
        assert [sha256_of(tmp_path / name) for name in ("large", "small")] == sums
    assert reads == ["large", "small", "small", "small"]


def test_each_path_has_its_own_checksum(tmp_path, reads, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, two = written(tmp_path / "one", b"a"), written(tmp_path / "two", b"b")
    assert [sha256_of(tmp_path / name) for name in ("one", "two", "one")] == [one, two, one]
    assert sha256_of(file_sums.Path("one")) == one
    assert reads == ["one", "two"]


@pytest.mark.parametrize("way", ["in place", "moved over", "another link"])
def test_no_change_with_equal_size_and_time_is_missed(tmp_path, way):
    file, times = tmp_path / "link", (1, 1)
    before, after = written(tmp_path / "a", b"a"), written(tmp_path / "b", b"b")
    file.symlink_to("a")
    for name in ("a", "b"):
        os.utime(tmp_path / name, times)
    assert sha256_of(file) == before
    if way == "in place":
        written(tmp_path / "a", b"b")
        os.utime(tmp_path / "a", times)
    elif way == "moved over":
        (tmp_path / "b").replace(tmp_path / "a")
    else:
        file.unlink()
        file.symlink_to("b")
    assert sha256_of(file) == after


def test_the_checksum_of_a_file_that_may_still_change_is_not_kept(tmp_path, reads, monkeypatch):
    monkeypatch.setattr(file_sums, "SETTLED", 60)
    expected = written(tmp_path / "large", b"a")
    os.utime(tmp_path / "large", (1, 1))
    assert [sha256_of(tmp_path / "large") for _ in range(2)] == [expected, expected]
    assert reads == ["large", "large"]


def test_the_checksum_of_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path, monkeypatch):
    file, read = tmp_path / "large", file_sums._read
    written(file, b"a")
    after = hashlib.sha256(b"b" * LARGE).hexdigest()

    def meddle(file):
        found = read(file)
        written(file, b"b")
        return found

    monkeypatch.setattr(file_sums, "_read", meddle)
    assert sha256_of(file) != after
    monkeypatch.setattr(file_sums, "_read", read)
    assert sha256_of(file) == after


@pytest.mark.parametrize("text", ["", "x", "\0" * 99, "é", "a b", "1 2 3 4 5 " + "0" * 63])
def test_a_damaged_cache_is_passed_over_and_mended(tmp_path, cache, reads, text):
    expected = written(tmp_path / "large", b"a")
    assert sha256_of(tmp_path / "large") == expected
    (kept,) = cache.iterdir()
    kept.write_text(text)
    assert [sha256_of(tmp_path / "large") for _ in range(2)] == [expected, expected]
    assert reads == ["large", "large"]


def test_nothing_fails_without_a_cache(tmp_path, cache, monkeypatch):
    expected = written(tmp_path / "large", b"a")
    cache.parent.mkdir(parents=True)
    cache.write_text("a file in the place of the folder")
    assert sha256_of(tmp_path / "large") == expected
    forget(tmp_path / "large")

    def homeless(*names):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_cache_path", homeless)
    assert sha256_of(tmp_path / "large") == expected
    forget(tmp_path / "large")


def test_a_forgotten_checksum_is_read_again(tmp_path, reads):
    expected = written(tmp_path / "large", b"a")
    for _ in range(2):
        assert sha256_of(tmp_path / "large") == expected
        forget(tmp_path / "large")
    assert reads == ["large", "large"]
