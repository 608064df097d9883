"""`bench data`, `--data` and `--download`, run as people run them."""

from __future__ import annotations

import json

import pytest

from tests.e2e.test_cli import bench
from tests.unit.plugins.published_files import write_mnist

PLUGIN = """
    import os
    from pathlib import Path

    import numpy as np

    from oodbench import Entry, Images, MissingDataError, hookimpl


    @hookimpl
    def bench_datasets():
        return [Entry("mine", ":Mine", "a set to be fetched", version="1")]


    def file():
        return Path(os.environ["BENCH_DATA"]) / "raw" / "mine.npy"


    class Mine:
        domain = Images(1, 8, 8)
        splits = ("train", "test")
        home = "https://example.org/mine"
        licence = "CC0"

        def stamp(self):
            if not file().is_file():
                raise MissingDataError("mine.npy not found; `bench data fetch mine` makes it")
            return str(file().stat().st_mtime_ns)

        def load(self, split):
            self.stamp()
            images = np.load(file())
            return images[:64] if split == "train" else images[64:]

        def fetch(self, progress):
            progress("mine: made")
            file().parent.mkdir(parents=True, exist_ok=True)
            images = np.random.default_rng(0).integers(0, 256, (128, 1, 8, 8), np.uint8)
            np.save(file(), images)
"""


@pytest.fixture
def with_mine(tiny_suite, write_suite):
    write_suite(PLUGIN, "mine.py")
    text = tiny_suite.read_text().replace('plugin = "photos"', 'plugin = "mine"')
    text = text.replace("options = { n_train = 10, n_test = 40 }\n\n[[", "[[")
    text = text.replace("[0, 2]", "[0]").replace('"typicality", "gradient-gaussian"', "")
    tiny_suite.write_text(text + '\n[plugins]\npaths = ["mine.py"]\n')
    return tiny_suite


def test_list_fetch_convert_verify(with_mine, tmp_path):
    there = ["--data", tmp_path / "elsewhere"]

    def listed():
        rows = json.loads(bench("data", "list", with_mine, *there, "--json").stdout)
        return {row["name"]: row for row in rows}["photos"]

    assert bench("data", "verify", *there).returncode == 4
    assert (listed()["state"], listed()["licence"]) == ("missing", "CC0")
    done = bench("data", "fetch", with_mine, *there)
    assert done.returncode == 0
    assert "photos: from https://example.org/mine (CC0)\nmine: made\n" in done.stderr
    assert (tmp_path / "elsewhere" / "raw" / "mine.npy").is_file()
    assert listed()["state"] == "ready"
    assert bench("run", with_mine, *there, "--executor", "processes").returncode == 0
    found = listed()
    assert (found["state"], found["counts"]) == ("converted", {"train": 64, "test": 64})
    table = bench("data", "list", with_mine, *there).stdout
    assert found["fingerprints"]["test"][:12] in table
    assert "https://example.org/mine" in table

    assert bench("data", "verify", *there).returncode == 0
    for path in tmp_path.glob("elsewhere/datasets/*/test.npy"):
        path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    done = bench("data", "verify", *there)
    assert done.returncode == 1
    assert "the checksum of test.npy does not match" in done.stdout


def test_nothing_is_downloaded_unless_it_is_asked_for(with_mine, tmp_path):
    refused = bench("run", with_mine)
    assert refused.returncode == 2
    assert "2 of 4 cells lack data:\n  data set 'photos': mine.npy not found" in refused.stderr
    assert not (tmp_path / "data" / "raw").exists()
    done = bench("run", with_mine, "--download", "--display", "plain")
    assert done.returncode == 0, done.stderr
    assert "mine: made" in done.stderr
    again = bench("run", with_mine, "--download", "--display", "plain")
    assert "mine: made" not in again.stderr


def test_what_cannot_be_fetched_is_said_and_ends_with_1(tmp_path):
    done = bench("data", "fetch", "imagenet32", "digits")
    assert done.returncode == 1
    assert "automatic download is not possible: register" in done.stderr
    assert f"unpack them in {tmp_path / 'data' / 'raw' / 'imagenet32'}" in done.stderr
    assert "digits: nothing to download" in done.stderr


def test_raw_files_lie_beside_the_data_folder_that_is_named(tmp_path):
    write_mnist(tmp_path / "elsewhere" / "raw")
    for place, state in (("elsewhere", "ready"), ("data", "missing")):
        done = bench("data", "list", "mnist", "--data", tmp_path / place, "--json")
        assert [row["state"] for row in json.loads(done.stdout)] == [state]


@pytest.mark.parametrize("command", ["list", "fetch", "verify"])
def test_an_unknown_data_set_ends_with_2(command):
    done = bench("data", command, "mnits")
    assert done.returncode == 2
    assert done.stderr == "bench: there is no data set 'mnits' (did you mean 'mnist'?)\n"
