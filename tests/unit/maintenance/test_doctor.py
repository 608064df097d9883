"""The doctor: what it finds, with real folders, plugins and processes."""

from __future__ import annotations

import os
import time

import pytest

from harness.maintenance.doctor import (
    Finding,
    examine,
    locks_finding,
    probe,
    torch_finding,
    torchvision_finding,
)
from harness.store import locks
from harness.store.locks import ask_for_locks
from tests.environments import FAKE_TORCH


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Make processes find a torch and a torchvision of one's own."""

    def install(torch, torchvision, wants="2.6.0", version="2.6.0"):
        for name, code in (("torch", torch), ("torchvision", torchvision)):
            folder = tmp_path / "packages" / name
            (folder / "ops").mkdir(parents=True)
            (folder / "__init__.py").write_text(code)
            (folder / "ops/__init__.py").write_text("def nms(*given): return [0]")
        about = tmp_path / "packages/torchvision-0.21.0.dist-info"
        about.mkdir()
        requires = f"Requires-Dist: torch=={wants}\n" if wants else ""
        (about / "METADATA").write_text(f"Name: torchvision\nVersion: 0.21.0\n{requires}")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
        probed = probe()
        return torch_finding(probed), torchvision_finding(probed)

    return install


SOUND = FAKE_TORCH.replace("VERSION", "2.6.0+cpu")
VISION = '__version__ = "0.21.0+cpu"'


def test_a_pair_that_belongs_together(installed):
    torch, vision = installed(SOUND, VISION)
    assert torch == Finding("torch", "ok", "2.6.0+cpu")
    assert vision == Finding("torchvision", "ok", "0.21.0+cpu")


def test_a_torchvision_for_another_torch(installed):
    torch, vision = installed(FAKE_TORCH.replace("VERSION", "2.7.1+cpu"), VISION)
    assert torch.state == "ok"
    assert (vision.state, vision.found) == (
        "bad",
        "built for torch 2.6.0, but torch 2.7.1+cpu is installed",
    )
    assert vision.advice.startswith("install the torchvision for torch 2.7.1")


def test_a_torchvision_that_is_built_for_another_device(installed):
    _, vision = installed(SOUND, '__version__ = "0.21.0+cu124"')
    assert (vision.state, vision.found) == ("bad", "built for cu124, but torch for cpu")


def test_a_torchvision_that_raises(installed):
    code = 'raise RuntimeError("operator torchvision::nms does not exist")'
    _, vision = installed(SOUND, code, wants="")
    assert vision.state == "bad"
    assert "RuntimeError: operator torchvision::nms does not exist" in vision.found


CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def test_imports_that_crash_the_process(installed):
    torch, vision = installed(SOUND, CRASH)
    assert torch.state == "ok"
    assert (vision.state, vision.found) == ("bad", "the import ends the process with SIGSEGV")


def test_a_torch_that_crashes_or_is_not_there(installed):
    torch, vision = installed(CRASH, VISION)
    assert (torch.state, torch.found) == ("bad", "the import ends the process with SIGSEGV")
    assert vision.state == "bad"


def looked(tmp_path, count, **folders):
    """The first findings, which need no torch."""
    where = {"store": tmp_path / "store", "data": tmp_path / "data", **folders}
    found = examine(where["store"], where["data"], where.get("requested", ()))
    return [next(found) for _ in range(count)]


def test_folders_are_tried_and_left_as_they_were(tmp_path):
    python, store, data = looked(tmp_path, 3)
    assert python.state == "ok"
    assert store.found.startswith(f"{tmp_path / 'store'}: can be written, ")
    assert data.what == "data folder"
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    _, store = looked(tmp_path, 2, store=tmp_path / "file")
    assert (store.state, store.found) == (
        "bad",
        f"{tmp_path / 'file'}: cannot be written (Not a directory)",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    _, store = looked(tmp_path, 2, store=tmp_path / "locked")
    assert store.state == "note"
    _, store = looked(tmp_path, 2, store=tmp_path / "locked" / "store")
    assert store.state == "bad"


PLUGIN = """
from oodbench import Entry, hookimpl

@hookimpl
def bench_scorers():
    return [Entry("lost", "no_such_module:Thing", "nothing behind it")]
"""


def test_plugins_whose_entries_cannot_be_loaded(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    found = {
        item.what: item for item in looked(tmp_path, 10, requested=[str(tmp_path / "mine.py")])
    }
    assert found["plugin models"].state == "ok"
    mine = found["plugin mine"]
    assert mine.state == "bad"
    assert "ModuleNotFoundError: No module named 'no_such_module'" in mine.found
    assert mine.advice == "fix the plugin, or block it: -p no:mine"


@pytest.mark.parametrize("kind", ["os", "lease"])
def test_locks_and_renames_are_seen_by_a_second_process(tmp_path, kind):
    ask_for_locks(tmp_path / "store", kind)
    before = sorted(tmp_path.rglob("*"))
    (found,) = locks_finding(tmp_path / "store")
    assert (found.what, found.state) == ("locks", "ok")
    assert found.found.startswith(f"{kind} locks on ")
    assert found.found.endswith(": seen by another process")
    assert sorted(tmp_path.rglob("*")) == before


def test_locks_that_do_not_hold_are_noted_and_hidden_renames_are_bad(tmp_path, monkeypatch):
    (found,) = locks_finding(tmp_path / "store", lambda folder: "free True False")
    assert (found.state, found.advice) == ("note", "bench run --locks lease")
    assert "not seen by another process" in found.found
    (found,) = locks_finding(tmp_path / "store", lambda folder: "held False True")
    assert found.state == "bad"
    (found,) = locks_finding(tmp_path / "store", lambda folder: "")  # the process has died
    assert found.state == "bad"
    mounts = tmp_path / "mounts"
    mounts.write_text("server:/x / nfs4 rw 0 0\n")
    monkeypatch.setattr(locks, "MOUNTS", mounts)
    ask_for_locks(tmp_path / "store", "os")
    (found,) = locks_finding(tmp_path / "store", lambda folder: "held True False")
    assert (found.state, found.found) == (
        "note",
        "os locks on nfs4: seen on this machine, perhaps not on others",
    )


def test_a_clock_that_differs_from_that_of_the_store_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.maintenance.sharing.now_at", lambda root: time.time() - 90)
    _, found = locks_finding(tmp_path / "store", lambda folder: "held True False")
    assert (found.what, found.state) == ("clock", "note")
    assert found.found == "files of the store are -90 s off this machine's clock"
