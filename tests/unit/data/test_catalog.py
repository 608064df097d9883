"""What data there is: listed without reading an image, fetched, verified in full."""

from __future__ import annotations

import numpy as np
import pytest

from harness.data.catalog import describe, fetch, find_datasets
from harness.data.folder import DataFolder
from harness.data.verification import verify
from harness.errors import MissingDataError, PluginError
from harness.run.prepare import fetch_missing
from harness.suite import load_suite
from oodbench import Fetchable
from tests.unit.plugins.published_files import write_kmnist

PAPER = {
    *("svhn", "celeba", "cifar10", "gtsrb", "imagenet32"),
    *("mnist", "fashion-mnist", "kmnist", "omniglot"),
}
TEXTS = {"20newsgroups", "clinc150", "imdb", "rostd"}

SUITE = """
    [training.brief]

    [models.flow]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 4 }
    training = "brief"

    [datasets.characters]
    plugin = "kmnist"
    options = { verify = false }

    [datasets.mirrored]
    plugin = "transformed"
    options = { source = "characters", transform = "flip-horizontal" }

    [[comparisons]]
    models = "flow"
    in = "characters"
    out = "mirrored"
    epochs = 0
    scorers = "typicality"
"""


@pytest.fixture
def folder(tmp_path):
    return DataFolder(tmp_path / "data")


@pytest.fixture
def suite(write_suite):
    return write_suite(SUITE)


def test_all_that_needs_no_option_is_found_and_those_of_the_paper_can_be_fetched():
    found = {item.name: item for item in find_datasets([])}
    assert set(found) >= PAPER | {"digits", "photos", "noise", "constant"}
    assert not {"folder", "transformed"} & set(found)
    assert {name for name, item in found.items() if isinstance(item.dataset, Fetchable)} == (
        PAPER | TEXTS
    )


def test_names_and_suites_are_found(suite):
    names = [item.name for item in find_datasets(["digits", str(suite)])]
    assert names == ["digits", "characters", "mirrored"]
    shipped = [item.name for item in find_datasets(["studies/one-channel"])]
    assert {"mnist", "fashion-mnist"} <= set(shipped)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digts", "there is no data set 'digts' (did you mean 'digits'?)"),
        ("folder", "data set 'folder' needs options: name a suite with these options"),
        ("transformed", "data set 'transformed' needs options: name a suite with these options"),
    ],
)
def test_names_that_are_no_data_set(name, message):
    with pytest.raises(PluginError) as caught:
        find_datasets([name])
    assert str(caught.value) == message


def test_a_set_is_missing_then_ready_then_converted(folder, suite, tmp_path):
    def described():
        return [describe(folder, item) for item in find_datasets([str(suite)])]

    characters, mirrored = described()
    assert characters.state == mirrored.state == "missing"
    assert characters.problem == mirrored.problem
    assert characters.problem.endswith("; `bench data fetch kmnist` downloads it")
    assert (characters.shape, characters.licence) == ("1x28x28", "CC BY-SA 4.0")
    assert (characters.home, mirrored.home) == ("http://codh.rois.ac.jp/kmnist/", "")

    write_kmnist(tmp_path / "data" / "raw")
    characters, mirrored = described()
    assert characters.state == mirrored.state == "ready"
    assert (characters.problem, characters.counts, characters.size) == ("", {}, 0)

    prepared = folder.prepare(find_datasets([str(suite)])[0])
    characters, mirrored = described()
    assert (characters.state, mirrored.state) == ("converted", "ready")
    assert characters.counts == {"train": 10, "test": 4}
    assert characters.size == 14 * 28 * 28 + 2 * 128  # two headers of .npy
    assert characters.fingerprints == prepared.fingerprints


def test_a_set_that_is_there_but_cannot_be_used(folder, write_suite, tmp_path):
    (tmp_path / "empty").mkdir()
    text = SUITE.replace('"kmnist"', '"folder"')
    text = text.replace(
        "verify = false", f'path = "{tmp_path / "empty"}", size = 28, channels = 1'
    )
    for item in find_datasets([str(write_suite(text))]):
        found = describe(folder, item)
        assert found.state == "unusable"
        assert found.problem.startswith(str(tmp_path / "empty"))


class Calls:
    def __init__(self, problem=""):
        self.made = 0
        self.problem = problem

    def __call__(self, dataset, progress):
        self.made += 1
        progress("a step")
        if self.problem:
            raise MissingDataError(self.problem)


@pytest.fixture
def fetching(monkeypatch):
    from plugins.datasets.published.base import Published

    def replace(problem=""):
        calls = Calls(problem)
        monkeypatch.setattr(Published, "fetch", lambda self, progress: calls(self, progress))
        return calls

    return replace


def test_fetch_asks_every_set_and_its_sources(suite, fetching):
    calls, said = fetching(), []
    assert fetch(find_datasets([str(suite), "digits"])[1:], said.append) == []
    assert calls.made == 1
    assert said == [
        "characters: from http://codh.rois.ac.jp/kmnist/ (CC BY-SA 4.0)",
        "a step",
        "mirrored: nothing to download",
        "digits: nothing to download",
    ]


def test_one_that_cannot_be_had_does_not_stop_the_others(fetching):
    calls = fetching("by hand")
    assert fetch(find_datasets(["mnist", "svhn"]), [].append) == ["by hand", "by hand"]
    assert calls.made == 2


def test_only_what_is_missing_is_fetched_before_a_run(suite, fetching, tmp_path):
    calls, events = fetching("no network"), []
    fetch_missing(load_suite(suite), tmp_path / "data", events.append)
    assert calls.made == 1
    assert [event.text for event in events][-1] == "no network"
    write_kmnist(tmp_path / "data" / "raw")
    fetch_missing(load_suite(suite), tmp_path / "data", events.append)
    assert calls.made == 1


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def test_a_damaged_set_is_found_and_made_anew(folder, suite, tmp_path):
    write_kmnist(tmp_path / "data" / "raw")
    components = find_datasets([str(suite)])
    prepared = [folder.prepare(item) for item in components]
    found = list(verify(folder))
    assert [item.problem for item in found] == ["", ""]
    assert {item.name for item in found} == {
        "kmnist(verify = False)",
        "transformed(source = kmnist, transform = 'flip-horizontal')",
    }
    path = folder.store.path("datasets", prepared[0].key) / "test.npy"
    damage(path)
    (bad,) = [item for item in verify(folder, components) if item.problem]
    assert bad.problem.startswith("the checksum of test.npy does not match; set aside as ")
    assert (bad.key, bad.name) == (prepared[0].key, "kmnist(verify = False)")
    assert describe(folder, components[0]).state == "ready"
    assert folder.prepare(components[0]).fingerprints == prepared[0].fingerprints
    assert [item.problem for item in verify(folder, components[:1])] == [""]


def test_large_sets_are_read_in_full_too(folder, suite, tmp_path, monkeypatch):
    write_kmnist(tmp_path / "data" / "raw")
    component = find_datasets([str(suite)])[0]
    prepared = folder.prepare(component)
    monkeypatch.setattr("harness.data.folder.VERIFIED_BYTES", 0)
    damage(folder.store.path("datasets", prepared.key) / "train.npy")
    prepared.load("train")  # too large to be read whenever it is opened
    (found,) = verify(folder, [component])
    assert "the checksum of train.npy does not match" in found.problem


@pytest.mark.parametrize("change", ["file", "manifest"])
def test_files_that_are_gone_or_cut_are_damage(folder, suite, tmp_path, change):
    write_kmnist(tmp_path / "data" / "raw")
    prepared = folder.prepare(find_datasets([str(suite)])[0])
    record = folder.store.path("datasets", prepared.key)
    if change == "file":
        (record / "train.npy").unlink()
    else:
        (record / "manifest.json").write_text("{")
    (found,) = verify(folder)
    problem = "train.npy is missing" if change == "file" else "manifest.json is damaged"
    assert problem in found.problem
    assert list(verify(folder)) == []


def test_a_file_on_another_disk_behind_a_link_is_sound(folder, suite, tmp_path):
    write_kmnist(tmp_path / "data" / "raw")
    prepared = folder.prepare(find_datasets([str(suite)])[0])
    path = folder.store.path("datasets", prepared.key) / "train.npy"
    path.symlink_to(path.rename(tmp_path / "elsewhere.npy"))
    assert [item.problem for item in verify(folder)] == [""]


def test_a_named_set_whose_files_are_gone(folder):
    with pytest.raises(MissingDataError, match="bench data fetch mnist"):
        list(verify(folder, find_datasets(["mnist"])))


def test_what_was_converted_outlives_its_raw_files(folder, suite, tmp_path):
    import shutil

    write_kmnist(tmp_path / "data" / "raw")
    component, mirrored = find_datasets([str(suite)])
    before, images = folder.prepare(component), folder.prepare(mirrored).load("test").copy()
    shutil.rmtree(tmp_path / "data" / "raw")
    assert [describe(folder, item).state for item in (component, mirrored)] == ["converted"] * 2
    assert folder.prepare(component) == folder.find(component) == before
    assert (folder.prepare(mirrored).load("test") == images).all()
    assert [item.problem for item in verify(folder, [component])] == [""]
    path = folder.store.path("datasets", before.key) / "test.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MissingDataError, match="not found in"):
        folder.prepare(component)


def test_files_of_the_users_own_are_asked_for_even_if_they_were_converted(
    folder, write_suite, tmp_path
):
    own = tmp_path / "own"
    own.mkdir()
    np.save(own / "test.npy", np.arange(64, dtype=np.uint8).reshape(4, 4, 4))
    options = f'path = "{own}", size = 4, channels = 1'
    text = SUITE.replace('"kmnist"', '"folder"').replace("verify = false", options)
    suite = write_suite(text, "own.toml")
    components = find_datasets([str(suite)])
    for component in components:
        assert folder.prepare(component) == folder.find(component)
    own.rename(tmp_path / "elsewhere")
    for component in components:
        with pytest.raises(MissingDataError, match="own"):
            folder.find(component)


def test_of_several_conversions_the_last_one_stands(folder, suite, tmp_path, monkeypatch):
    import os
    import shutil

    raw = tmp_path / "data" / "raw"
    write_kmnist(raw)
    component, _ = find_datasets([str(suite)])
    first = folder.prepare(component)
    monkeypatch.setattr("plugins.datasets._common.HASHED_BYTES", 0)
    second = folder.prepare(component)
    assert first.key != second.key
    os.utime(folder.store.path("datasets", first.key) / "manifest.json", (1, 1))
    shutil.rmtree(raw)
    assert folder.find(component).key == second.key
