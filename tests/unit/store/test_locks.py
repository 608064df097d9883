"""Locks of both kinds, claims with marks, and what is known about file systems."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.store import locks
from harness.store.claims import claimed
from harness.store.clock import is_written_since, now_at
from harness.store.locks import ask_for_locks, file_system, is_on_network, lock_kind, try_lock

HOLD = """
import sys
from pathlib import Path
from harness.store.claims import claimed
with claimed(Path(sys.argv[1]), "work") as claim, claim.marked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the claim on `work`, as long as its stdin is open."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("kind", ["os", "lease"])
def test_a_lock_is_held_against_other_processes_and_free_once_they_are_killed(
    tmp_path, kind, request
):
    ask_for_locks(tmp_path, kind)
    began = now_at(tmp_path)
    process = request.getfixturevalue("holder")
    assert process.stdout.readline() == "held\n"
    assert try_lock(tmp_path, "work") is None
    other = try_lock(tmp_path, "other")
    assert other is not None
    other.release()
    process.kill()
    process.wait()
    with claimed(tmp_path, "work") as claim:
        assert claim is not None
        assert claim.deaths(began) == 1


def test_a_holder_that_leaves_in_order_leaves_no_mark(tmp_path, holder):
    began = now_at(tmp_path)
    assert holder.stdout.readline() == "held\n"
    holder.communicate("")
    with claimed(tmp_path, "work") as claim:
        assert claim.deaths(began) == 0
        with pytest.raises(ValueError, match="in the block"), claim.marked():
            raise ValueError("in the block")
        assert claim.deaths(began) == 0


def test_deaths_add_up_within_a_run_and_are_forgotten_by_the_next(tmp_path):
    began = now_at(tmp_path)
    mark = tmp_path / "locks/work.begun"
    with claimed(tmp_path, "work") as claim:
        for count in (1, 2):
            with mark.open("ab") as file:
                file.write(b".")  # as by a process that was killed before it removed the mark
            assert claim.deaths(began) == mark.stat().st_size == count
        moment = began - 60
        os.utime(mark, (moment, moment))  # written before the run began
        assert claim.deaths(began) == 0
        assert not mark.exists()


def test_a_time_in_the_future_is_no_evidence(tmp_path):
    began = now_at(tmp_path)
    path = tmp_path / "file"
    assert not is_written_since(tmp_path, path, began)
    path.touch()
    assert is_written_since(tmp_path, path, began)
    for moment in (began - 60, began + 3600):
        os.utime(path, (moment, moment))
        assert not is_written_since(tmp_path, path, began)


def test_the_kind_asked_for_is_kept_and_else_chosen_by_the_file_system(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(locks, "MOUNTS", mounts)
    home = os.path.realpath(tmp_path)
    mounts.write_text(
        "/dev/a / ext4 rw 0 0\n"
        f"server:/x {home}/on\\040net nfs4 rw 0 0\n"
        f"/dev/b {home}/on\\040net/scratch xfs rw 0 0\n"
        f"us {home}/ssh fuse.sshfs rw 0 0\n"
    )
    assert file_system(tmp_path / "on net/store") == "nfs4"
    assert file_system(tmp_path / "on net/scratch/store") == "xfs"
    assert file_system(tmp_path / "on network") == "ext4"  # no part of a name is a folder
    assert [is_on_network(tmp_path / name) for name in ("on net", "ssh", "here")] == [1, 1, 0]
    assert lock_kind(tmp_path / "on net") == "lease"
    assert lock_kind(tmp_path / "here") == "os"
    ask_for_locks(tmp_path / "here", "lease")
    ask_for_locks(tmp_path / "on net", "os")
    assert lock_kind(tmp_path / "here") == "lease"
    assert lock_kind(tmp_path / "on net") == "os"
    mounts.unlink()
    assert file_system(tmp_path) == ""
    assert lock_kind(tmp_path / "elsewhere") == "os"
