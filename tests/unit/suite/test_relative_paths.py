"""Relative paths in a suite are relative to the file that has them, wherever `bench` runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from pydantic import BaseModel

from harness.data.catalog import find_datasets
from harness.data.folder import DataFolder
from harness.data.verification import verify
from harness.errors import MissingDataError, SuiteError
from harness.registry.options import constructor_arguments, signature_options, validate_options
from harness.registry.registered import KINDS
from harness.registry.registry import Registry
from harness.suite import load_suite

SUITE = """
    include = ["common/data.toml"]
    reference = "published/values.json"

    [plugins]
    paths = ["plugin.py"]

    [models.flow]
    plugin = "glow"
    training = "brief"

    [training.brief]

    [datasets.here]
    plugin = "folder"
    options = { path = "images/here", size = 4, channels = 1 }

    [statistics.file]
    plugin = "file"
    options = { file = "words.txt" }

    [[comparisons]]
    models = "flow"
    in = "here"
    out = ["there", "absent"]
    epochs = 0
    scorers = "typicality"
"""
COMMON = """
    [plugins]
    paths = ["../plugin.py"]

    [datasets.there]
    plugin = "folder"
    options = { path = "images/there", size = 4, channels = 1 }

    [datasets.absent]
    plugin = "folder"
    options = { path = "absent", size = 4, channels = 1 }
"""
PLUGIN = """
    from pathlib import Path

    from oodbench import Entry, hookimpl


    @hookimpl
    def bench_statistics():
        return [Entry("file", ":File", "content of a file", version="1")]


    class File:
        per = "example"

        def __init__(self, *, file: Path = Path("words.txt")):
            self.file = file
"""


@pytest.fixture
def suite(write_suite, tmp_path, monkeypatch):
    """A suite that is read from another folder, with an included file in a third one."""
    for place, level in (("images/here", 3), ("common/images/there", 5)):
        (tmp_path / place).mkdir(parents=True)
        images = np.full((8, 4, 4), level, np.uint8)
        images[:, 0, 0] = np.arange(8)
        np.save(tmp_path / place / "train.npy", images)
        np.save(tmp_path / place / "test.npy", images[::-1])
    write_suite(PLUGIN, "plugin.py")
    write_suite("words", "words.txt")
    write_suite(
        '{"source": "s", "scorer": "s", "examples": 1, "values": []}', "published/values.json"
    )
    write_suite(COMMON, "common/data.toml")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return write_suite(SUITE)


@pytest.mark.parametrize("named", ["absolute", "relative"])
def test_paths_are_sought_beside_the_file_that_has_them(suite, tmp_path, named):
    path = suite if named == "absolute" else Path("..", suite.name)
    resolved = load_suite(path)
    where = path.parent.absolute()
    datasets = {name: item.dataset.path for name, item in resolved.datasets.items()}
    assert datasets == {
        "here": where / "images/here",
        "there": where / "common/images/there",
        "absent": where / "common/absent",
    }
    assert resolved.datasets["there"].dataset.load("test")[0, 0, 3, 3] == 5
    assert resolved.statistics["file"].build().file == where / "words.txt"
    assert resolved.statistics["file"].files["file"]["name"] == "words.txt"
    assert resolved.reference is not None
    with pytest.raises(MissingDataError) as caught:
        resolved.datasets["absent"].dataset.load("test")
    assert str(caught.value) == f"{where}/common/absent does not exist"


def test_a_default_and_a_value_set_are_relative_to_the_suite_too(suite, tmp_path, write_suite):
    write_suite("other", "other.txt")
    resolved = load_suite(suite, changes=["statistics.file.options.file=other.txt"])
    assert resolved.statistics["file"].build().file == tmp_path / "other.txt"
    resolved = load_suite(suite, changes=["statistics.file.options={}"])
    assert resolved.statistics["file"].build().file == tmp_path / "words.txt"
    resolved = load_suite(suite, changes=["datasets.absent.options.path=images/there"])
    assert resolved.datasets["absent"].dataset.path == tmp_path / "common/images/there"


def test_keys_have_the_path_as_written(suite):
    resolved = load_suite(suite)
    identity = resolved.datasets["there"].identity()
    assert identity["options"]["path"] == "images/there"
    moved = suite.parent.rename(suite.parent.with_name("moved"))
    again = load_suite(moved / suite.name)
    assert again.datasets["there"].identity() == identity
    assert again.statistics["file"].identity() == resolved.statistics["file"].identity()
    assert again.fingerprint() == resolved.fingerprint()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"words.txt"', '"absent.txt"', "statistics.file.options.file: {}/absent.txt cannot be"),
        ('"published/values', '"absent/values', "reference: {}/absent/values.json cannot be read"),
        ('["plugin.py"]', '["absent.py"]', "plugins.paths: plugin file {}/absent.py cannot be"),
        ("common/data", "common/absent", "include: {}/common/absent.toml: no such file in {}/com"),
    ],
)
def test_messages_name_the_folder(suite, tmp_path, old, new, expected):
    suite.write_text(suite.read_text().replace(old, new))
    with pytest.raises(SuiteError) as caught:
        load_suite(suite)
    assert expected.replace("{}", str(tmp_path)) in str(caught.value)


def test_a_conversion_is_verified_with_the_folder_of_its_suite(suite, tmp_path, monkeypatch):
    folder = DataFolder(tmp_path / "data")
    wanted = [item for item in find_datasets([str(suite)]) if item.name != "absent"]
    for component in wanted:
        folder.prepare(component)
    assert [item.source for item in verify(folder)] == ["same", "same"]
    (tmp_path / "images").rename(tmp_path / "gone")
    found = sorted(item.source for item in verify(folder))
    assert found == ["not compared: raw files are missing", "same"]


def test_every_option_of_ours_that_names_a_file_is_a_path():
    registry = Registry()
    options = {
        (kind, item.entry.name, name): hint
        for kind in KINDS
        for item in registry.entries(kind)
        for name, (hint, _) in signature_options(item.load()).items()
    }
    of_paths = {place for place, hint in options.items() if "Path" in str(hint)}
    assert of_paths == {
        ("datasets", "folder", "path"),
        ("datasets", "text-files", "path"),
        ("datasets", "tokenized", "tokenizer_file"),
        ("models", "causal-lm", "path"),
    }
    words = ("path", "file", "folder", "dir", "root")
    assert {place for place in options if any(word in place[2] for word in words)} == of_paths


class Pair(NamedTuple):
    left: Path
    right: str


@dataclass(frozen=True, slots=True)
class Place:
    path: Path
    name: str = "a.txt"


class Model(BaseModel):
    paths: dict[str, list[Path]]


class Target:
    def __init__(
        self,
        *,
        one: Path = Path("a.txt"),
        pair: Pair = Pair(Path("a.txt"), "a.txt"),  # noqa: B008
        place: Place = Place(Path("~/a.txt")),
        model: Model | None = None,
        several: tuple[Path, ...] = (),
        text: str = "a.txt",
    ):
        pass


def test_paths_inside_of_values_are_placed_and_texts_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    given = {"model": {"paths": {"a.txt": ["a.txt", "/b.txt"]}}, "several": ["a.txt", "../c.txt"]}
    options = validate_options(Target, given)
    found = constructor_arguments(Target, options, {}, folder=tmp_path)
    assert found == {
        "one": tmp_path / "a.txt",
        "pair": Pair(tmp_path / "a.txt", "a.txt"),
        "place": Place(Path("/home/me/a.txt")),
        "model": Model(paths={"a.txt": [tmp_path / "a.txt", Path("/b.txt")]}),
        "several": (tmp_path / "a.txt", tmp_path / "../c.txt"),
        "text": "a.txt",
    }
    assert constructor_arguments(Target, options, {})["one"] == Path("a.txt")
