"""The pytest plugin as a guest in a repository: it changes nothing that is not its own.

The distribution is installed as a wheel. `scripts/guests` does the same with other versions of
pytest and beside other plugins, which it downloads.
"""

from __future__ import annotations

import shutil
import textwrap
from types import SimpleNamespace

import pytest

import oodbench_pytest
from tests.environments import QUICK, run

FROM_STORE = ("-o", "bench_store=store")
SKIP = """
    import pytest


    def pytest_collection_modifyitems(items):
        for item in items:
            if "slow" not in item.keywords:
                item.add_marker(pytest.mark.skip(reason="not today"))
"""
BOARD = """
    [board]
    name = "x"
    format = 1

    [[cells]]
    name = "LUT4"
    pins = ["A", "B"]
"""


@pytest.fixture
def repository(pinned, tmp_path, monkeypatch):
    """A copy of the repository to be changed."""
    folder = shutil.copytree(pinned, tmp_path / "own")
    monkeypatch.setenv("BENCH_DATA", str(folder / "data"))
    return folder


def collect_from(folder, *paths):
    """Set the folders and files that pytest collects unless it is told others."""
    settings = f"[tool.pytest.ini_options]\ntestpaths = {list(paths)}\n"
    (folder / "pyproject.toml").write_text(settings)


def session(python, folder, *options, processes=0):
    """Exit status and last line of a session, and all that it said."""
    options = [*QUICK, "-p", "no:randomly", "-rA", "-n", processes, *options]
    done = run(python, "-m", "pytest", *options, cwd=folder)
    last = done.stdout.splitlines()[-1].strip("= ").partition(" in ")[0]
    return done.returncode, last, done.stdout


def test_pins_below_a_test_path_are_skipped_by_a_marker_and_no_suite_runs(python, repository):
    collect_from(repository, ".")
    (repository / "conftest.py").write_text(textwrap.dedent(SKIP))
    (repository / "tiny.toml").unlink()
    status, last, said = session(python, repository)
    assert (status, last) == (0, "3 skipped"), said
    assert "SKIPPED [2] pins/tiny.toml: not today" in said


def test_a_suite_that_cannot_run_is_one_failure(python, repository):
    """In two processes, each of which has one of its two pins."""
    (repository / "tiny.toml").unlink()
    modes = ("--dist", "loadgroup")
    status, last, said = session(python, repository, *modes, processes=2)
    assert (status, last) == (1, "1 failed, 1 passed, 1 skipped"), said
    assert "the suite cannot be run: " in said
    assert "not compared, for the same reason as pins/tiny.toml::model=" in said


def test_a_suite_without_a_pin_is_an_error(python, repository):
    path = repository / "pins" / "tiny.toml"
    path.write_text(path.read_text().partition("[[cells]]")[0])
    status, last, said = session(python, repository)
    assert (status, last) == (2, "1 error"), said
    assert f"{path}: no cell is pinned; write pins with bench pin " in said


def test_options_that_choose_tests_choose_pins(python, repository):
    for name in ("left-out", "taken"):
        shutil.copy(repository / "pins" / "tiny.toml", repository / "pins" / f"{name}.toml")
    (repository / "pins" / "tiny.toml").unlink()
    options = ("--collect-only", "--ignore-glob=**/left-*", "-k", "other")
    _, last, said = session(python, repository, *options)
    assert last == "1/3 tests collected (2 deselected)", said
    assert session(python, repository, "--ignore=pins")[:2] == (0, "1 passed")


def test_the_first_failure_ends_a_session_and_the_next_begins_with_it(python, repository):
    suite = repository / "tiny.toml"
    text = suite.read_text()
    suite.unlink()
    assert session(python, repository, "-x")[:2] == (1, "1 failed")
    suite.write_text(text)
    _, last, said = session(python, repository, *FROM_STORE, "--lf")
    assert last.removesuffix(", 1 deselected") == "1 passed", said


def test_processes_share_pins_that_are_a_test_path(python, repository):
    collect_from(repository, "tests", "pins")
    modes = ("--dist", "loadfile")
    status, last, said = session(python, repository, *modes, *FROM_STORE, processes=2)
    assert (status, last) == (0, "3 passed"), said


def test_files_that_are_not_pins_are_left_alone(python, repository):
    path = repository / "pins" / "tiny.toml"
    path.write_text(textwrap.dedent(BOARD))
    (path.parent / "test_foreign.py").write_text("def test_never():\n    raise AssertionError\n")
    (path.parent / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    (path.parent / "gone.toml").symlink_to("nowhere")
    status, last, said = session(python, repository)
    assert (status, last) == (0, "1 passed"), said
    assert not any(oodbench_pytest.is_ours(file) for file in path.parent.iterdir())


class Older(SimpleNamespace):
    """The settings of a pytest before 7.2, in which nothing tells where arguments are from."""


def configured(folder):
    """The plugins that ours registers in an older pytest."""
    registered = []
    manager = SimpleNamespace(register=registered.append)
    oodbench_pytest.pytest_configure(Older(rootpath=folder, pluginmanager=manager))
    return registered


def test_a_pytest_that_is_too_old_matters_only_where_there_are_pins(pinned, tmp_path):
    assert configured(tmp_path) == []
    (refusal,) = configured(pinned)
    with pytest.raises(pytest.UsageError) as error:
        refusal.pytest_collection()
    assert str(error.value) == (
        f"{pinned / 'pins' / 'tiny.toml'}: pins need pytest 7.2 or newer, this is "
        f"{pytest.__version__}; -p no:oodbench leaves pins out"
    )
