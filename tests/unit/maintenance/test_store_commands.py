"""`bench store` as it is typed, in this process."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import BenchError
from tests.unit import stored


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    folder = stored.copy(made, tmp_path / "copy")
    monkeypatch.setenv("BENCH_STORE", str(folder / "store"))
    monkeypatch.setenv("BENCH_DATA", str(folder / "data"))
    monkeypatch.chdir(folder)
    return folder


def bench(*arguments):
    result = CliRunner().invoke(app, [str(item) for item in arguments])
    if isinstance(result.exception, BenchError):
        raise result.exception
    return result


def test_ls(folder):
    lines = bench("store", "ls", "small.toml").stdout.splitlines()
    assert lines[0].split() == (
        ["training", "epochs", "MB", "statistics", "MB", "not", "needed", "needed", "by", "key"]
    )
    assert lines[2].startswith("flow on digits  0 2 ")
    listed = json.loads(bench("store", "ls", "small.toml", "--json").stdout)
    [training] = listed["trainings"]
    assert training["needed_by"] == ["small"]
    assert set(training["epochs"]) == {"0", "2"}


def test_fsck(folder):
    done = bench("store", "fsck")
    assert done.exit_code == 0
    assert done.stdout.endswith("no damage found\n")
    path = next((folder / "store/statistics").rglob("values.npy"))
    path.write_bytes(b"x")
    listed = bench("store", "fsck", "--json")
    assert listed.exit_code == 1
    [damaged] = json.loads(listed.stdout)["damaged"]
    assert damaged["problem"] == "the checksum of values.npy does not match"
    assert bench("store", "fsck").exit_code == 0  # it has been set aside


def test_gc_says_first_and_deletes_on_request(folder):
    text = (folder / "small.toml").read_text()
    (folder / "other.toml").write_text(text.replace("epochs = [0, 2]", "epochs = 2"))
    young = bench("store", "gc", "other.toml")
    assert "0 items, 0.0 MB, would be removed" in young.stdout
    assert "7 more are kept: written within the last hour" in young.stdout
    stored.make_old(folder / "store")
    said = bench("store", "gc", "other.toml")
    assert "nothing was removed; use --delete to remove" in said.stderr
    assert (folder / "store/results/small").exists()
    done = json.loads(bench("store", "gc", "other.toml", "--delete", "--json").stdout)
    assert (done["deleted"], len(done["leftovers"]), done["kept"]) == (True, 7, [])
    assert not (folder / "store/results/small").exists()
    assert bench("store", "gc").exit_code == 2  # no suite: everything would be gone


def test_export_and_import(folder, tmp_path):
    before = bench("report", "small.toml", "--format", "csv").stdout
    assert "18 records" in bench("store", "export", "small.toml", "a.zip").stdout
    shutil.rmtree(folder / "store")
    shutil.rmtree(folder / "data")
    done = bench("store", "import", "a.zip", "--store", folder / "other")
    assert done.stdout == "small: 18 records imported, 0 already present\n"
    after = bench("report", "small.toml", "--format", "csv", "--store", folder / "other")
    assert after.stdout == before


def test_plan_says_what_a_data_set_is_too_small_for(folder):
    text = (folder / "small.toml").read_text()
    assert "cannot be computed" not in bench("plan", "small.toml").stdout
    (folder / "small.toml").write_text(text.replace("n_out = 30", "n_out = 300"))
    lines = bench("plan", "small.toml").stdout.splitlines()
    asked = "n_out = 300, but the test split of 'noise' has 40 examples left for role 'out'"
    assert lines.count(f"cannot be computed: {asked}") == 1
    assert json.loads(bench("plan", "small.toml", "--json").stdout)["impossible"] == [asked]


def test_the_default_store_is_the_one_that_was_named(folder):
    """An internal error's traceback goes there."""
    from harness.settings import default_store

    assert default_store() == folder / "store"
    bench("store", "fsck", "--store", "elsewhere")
    assert default_store() == folder / "elsewhere"
