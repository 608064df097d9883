"""Text from disk: windows, splits by file, and what notes say of the rest."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

from oodbench import DataError, MissingDataError, Tokens
from oodbench.testing import assert_conforms, check_dataset
from plugins.datasets.text.text_files import TextFiles

DOCUMENTS = {
    "a.txt": b"abcdefghij",
    "b.txt": b"0123456789ABCDEF",
    "deep/c.md": bytes(range(250, 256)) + b"\x00\xff",
    "deep/d.txt": b"wxyz",
    "short.txt": b"abc",
    "empty.txt": b"",
    ".hidden.txt": b"not to be read",
    ".git/config.txt": b"not to be read",
}


@pytest.fixture
def corpus(tmp_path):
    return written(tmp_path / "corpus", DOCUMENTS)


def written(folder, documents):
    for name, content in documents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def all_windows(dataset):
    return [bytes(x) for split in dataset.splits for x in dataset.load(split)]


def test_documents_are_cut_into_windows_of_bytes(corpus):
    dataset = TextFiles(path=corpus, length=4)
    assert dataset.domain == Tokens(4)
    expected = [
        content[start : start + 4]
        for name, content in DOCUMENTS.items()
        if not name.startswith(".")
        for start in range(0, len(content) - 3, 4)
    ]
    assert sorted(all_windows(dataset)) == sorted(expected)
    assert dataset.load("test").dtype == np.uint8


def test_files_are_split_as_a_whole(corpus):
    for seed in range(5):
        dataset = TextFiles(path=corpus, length=4, seed=seed, test_share=0.5)
        homes = {
            split: {
                name
                for name, content in DOCUMENTS.items()
                for window in dataset.load(split)
                if bytes(window) in content
            }
            for split in dataset.splits
        }
        assert not homes["train"] & homes["test"]
        assert homes["train"] | homes["test"] == {"a.txt", "b.txt", "deep/c.md", "deep/d.txt"}


def test_equal_files_are_in_the_same_split(tmp_path):
    documents = {f"{name}.txt": name[0].encode() * 8 for name in ("a1", "a2", "a3", "b1", "b2")}
    for seed in range(5):
        dataset = TextFiles(path=written(tmp_path, documents), length=4, seed=seed)
        letters = [{x[0] for x in dataset.load(split).tolist()} for split in dataset.splits]
        assert sorted(map(len, letters)) == [1, 1]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.txt", {"a.txt", "b.txt"}),
        ("**/*.txt", {"a.txt", "b.txt", "deep/d.txt"}),
        ("deep/*", {"deep/c.md", "deep/d.txt"}),
    ],
)
def test_a_pattern_chooses_files(corpus, pattern, found):
    windows = all_windows(TextFiles(path=corpus / pattern, length=4))
    assert {name for name in DOCUMENTS if any(w in DOCUMENTS[name] for w in windows)} == found


def test_no_window_is_in_both_splits(tmp_path):
    licence = b"free"
    documents = {f"{letter}": licence + letter.encode() * 4 for letter in "abcdef"}
    dataset = TextFiles(path=written(tmp_path, documents), length=4, test_share=0.5)
    splits = [[bytes(x) for x in dataset.load(split)] for split in ("train", "test")]
    assert [split.count(licence) for split in splits] == [3, 0]
    assert len(splits[1]) == 3
    (note,) = dataset.notes()
    assert note.endswith("; dropped: 3 test windows that are in train files too")
    for name in documents:
        (tmp_path / name).write_bytes(licence * (1 + ord(name) % 2))
    with pytest.raises(DataError, match="every window of the test files is also in a train file"):
        dataset.load("test")


def test_splits_by_folder(tmp_path):
    written(
        tmp_path, {"train/a": b"aaaa", "train/b": b"bbbb", "test/c": b"cccc", "other": b"dddd"}
    )
    dataset = TextFiles(path=tmp_path, length=4, split="folders")
    assert [bytes(x) for x in dataset.load("train")] == [b"aaaa", b"bbbb"]
    assert [bytes(x) for x in dataset.load("test")] == [b"cccc"]
    (tmp_path / "train/a").unlink()
    (tmp_path / "train/b").unlink()
    (tmp_path / "train").rmdir()
    assert TextFiles(path=tmp_path, length=4, split="folders").splits == ("test",)


def test_notes_count_what_is_left_out(corpus, tmp_path):
    assert TextFiles(path=corpus, length=4).notes() == [
        "9 windows of 4 files: windows of one file depend on one another, and errors leave this "
        "out; dropped: 2 bytes at the ends of files, 2 files shorter than 4 bytes"
    ]
    whole = written(tmp_path / "whole", {"a": b"aaaa", "b": b"bbbb"})
    assert TextFiles(path=whole, length=4).notes() == ["2 windows of 2 files"]


def test_the_stamp_follows_names_and_content(corpus):
    def stamp():
        return TextFiles(path=corpus, length=4).stamp()

    first = stamp()
    assert stamp() == first
    (corpus / "a.txt").write_bytes(b"abcdefghiJ")
    second = stamp()
    (corpus / "a.txt").rename(corpus / "A.txt")
    assert len({first, second, stamp()}) == 3


@pytest.mark.parametrize(
    ("path", "length", "error", "message"),
    [
        (
            "nowhere",
            4,
            MissingDataError,
            "nowhere: neither a folder with files nor a pattern of any",
        ),
        ("*.csv", 4, MissingDataError, "*.csv: neither a folder with files nor a pattern of any"),
        ("", 11, DataError, "needs at least two different files of at least 11 bytes"),
    ],
)
def test_what_is_no_text(corpus, path, length, error, message):
    with pytest.raises(error, match=re.escape(message)):
        TextFiles(path=corpus / path, length=length).load("train")


def test_a_pipe_is_not_read(corpus):
    before = TextFiles(path=corpus, length=4).stamp()
    os.mkfifo(corpus / "pipe.txt")
    assert TextFiles(path=corpus, length=4).stamp() == before
    assert len(all_windows(TextFiles(path=corpus, length=4))) == 9


def test_the_kit_accepts_text_files(corpus):
    assert_conforms(check_dataset(lambda: TextFiles(path=corpus, length=4)))
