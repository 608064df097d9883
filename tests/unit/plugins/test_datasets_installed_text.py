"""Texts that come with Python and its packages: which documents, whole, and in a single split."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from oodbench import DataError, HasStamp, MissingDataError, Tokens
from plugins.datasets.text import licences
from plugins.datasets.text.licences import Licences
from plugins.datasets.text.python_docs import PythonDocs
from plugins.datasets.text.python_source import PythonSource

SETS = [PythonDocs, PythonSource, Licences]


def cut(document, length):
    return [document[i : i + length] for i in range(0, len(document) - length + 1, length)]


def texts_of(dataset, split):
    return [bytes(x) for x in dataset.load(split)]


@pytest.mark.parametrize("dataset", SETS)
def test_there_is_enough_for_a_comparison(dataset):
    built = dataset(length=96)
    assert isinstance(built, HasStamp)
    assert built.domain == Tokens(96)
    assert all(len(built.load(split)) >= 300 for split in built.splits)


def test_python_docs_are_the_topics_of_help(monkeypatch):
    from pydoc_data.topics import topics

    documents = [topics[name].encode() for name in sorted(topics)]
    dataset = PythonDocs(length=64)
    splits = {split: set(texts_of(dataset, split)) for split in dataset.splits}
    in_train = [document for document in documents if {*cut(document, 64)} <= splits["train"]]
    assert len(dataset.load("train")) == sum(len(cut(document, 64)) for document in in_train)
    assert splits["test"] == {
        window
        for document in documents
        if document not in in_train
        for window in cut(document, 64)
        if window not in splits["train"]
    }
    total = sum(len(cut(document, 64)) for document in documents)
    assert dataset.notes()[0].startswith(f"{total:,} windows of {len(documents)} topics: ")
    before = dataset.stamp()
    changed = dict(topics) | {"assert": topics["assert"] + "!"}
    monkeypatch.setattr("pydoc_data.topics.topics", changed)
    assert dataset.stamp() != before
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(MissingDataError, match="no module pydoc_data.topics"):
        dataset.load("train")


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A standard library of a few files."""
    files = {
        "json/__init__.py": b"import json" * 3,
        "json/decoder.py": b"def decode(): ..." * 3,
        "json/tests/test_it.py": b"assert decode()" * 3,
        "json/notes.txt": b"these are notes" * 3,
        "encodings/cp437.py": b"{0x80: 'C'}" * 3,
        "pydoc_data/topics.py": b"topics = {}" * 3,
        "tkinter/__init__.py": b"import _tkinter" * 3,
        "ast.py": b"class AST: ..." * 3,
        "foreign.py": b"not of the library" * 3,
        "test/test_ast.py": b"assert ast" * 3,
        "site-packages/numpy.py": b"import numpy" * 3,
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    return {name: files[name] for name in ("ast.py", "json/__init__.py", "json/decoder.py")}


def test_python_source_is_the_library_without_tests_and_tables(library, tmp_path):
    dataset = PythonSource(length=11)
    found = [window for split in dataset.splits for window in texts_of(dataset, split)]
    expected = {window for content in library.values() for window in cut(content, 11)}
    assert set(found) == expected
    before = dataset.stamp()
    (tmp_path / "ast.py").write_bytes(b"class AST: pass" * 3)
    assert dataset.stamp() != before
    with pytest.raises(DataError, match="two different files have at least 1,000 bytes"):
        PythonSource(length=1000).load("test")
    for name in library:
        (tmp_path / name).unlink()
    with pytest.raises(MissingDataError, match=re.escape(f"{tmp_path} has no .py files")):
        dataset.load("train")


def test_the_library_of_this_python_is_code():
    windows = texts_of(PythonSource(length=4096), "train")
    sample = b"".join(windows)
    assert sample.count(b"\ndef ") + sample.count(b"    def ") > 1000
    documents = PythonSource(length=4096)._all()
    assert {"argparse.py", "json/decoder.py"} <= set(documents)
    assert ast.parse(documents["argparse.py"])
    assert not any("test" in Path(name).parts for name in documents)


def test_licences_are_those_of_required_packages(monkeypatch):
    documents = Licences(length=64)._all()
    packages = {name.partition("/")[0] for name in documents}
    required = {re.match(r"[\w.-]+", x)[0] for x in distribution("oodbench").requires}
    assert packages <= required
    assert {"numpy", "scipy", "pillow"} <= packages
    assert not packages & {"zuko", "pandas", "tensorboard", "oodbench"}  # extras, and ourselves
    assert len(set(documents.values())) == len(documents)
    (pillow,) = (x for x in distribution("pillow").files if x.name == "LICENSE")
    assert pillow.read_binary() in documents.values()

    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(licences, "distribution", absent)
    licences._licence_files.cache_clear()
    with pytest.raises(MissingDataError, match="oodbench is not installed as a package"):
        Licences(length=64).load("train")


@pytest.mark.parametrize("dataset", [PythonDocs, Licences])
def test_the_draw_follows_the_seed(dataset):
    draws = [set(texts_of(dataset(length=512, seed=seed), "test")) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    more = dataset(length=512, test_share=0.6)
    assert len(more.load("test")) > len(draws[0])
