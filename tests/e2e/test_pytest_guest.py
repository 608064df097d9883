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
from tests import forks
from tests.e2e.test_names import SUITE
from tests.environments import ROOT, make_environment

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


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment in which the wheel is installed."""
    return make_environment(tmp_path_factory.mktemp("installed"), [ROOT], lends_the_project=False)


@pytest.fixture(scope="module")
def pinned(tmp_path_factory, python):
    """A repository with a test and two pinned cells, whose results are stored."""
    folder = tmp_path_factory.mktemp("pinned")
    (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
    (folder / "tests").mkdir()
    (folder / "tests" / "test_own.py").write_text("def test_own():\n    pass\n")
    (folder / "tiny.toml").write_text(textwrap.dedent(SUITE))
    common = ["--store", "store", "--data", "data", "--workers", 1, "--display", "none"]
    for command in (["run", "tiny.toml"], ["pin", "tiny.toml", "--tolerance", 0.1]):
        done = forks.run("oodbench", *command, *common, python=python, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def repository(pinned, tmp_path):
    """A copy of the repository to be changed."""
    return shutil.copytree(pinned, tmp_path / "own")


def session(python, folder, *options):
    """Exit status and last line of a session, and all that it said."""
    done = forks.run("pytest", "-p", "no:randomly", "-rA", *options, python=python, cwd=folder)
    last = done.stdout.splitlines()[-1].strip("= ").partition(" in ")[0]
    return done.returncode, last, done.stdout


def test_pins_are_skipped_by_a_marker_and_the_suite_does_not_run(python, repository):
    (repository / "conftest.py").write_text(textwrap.dedent(SKIP))
    (repository / "tiny.toml").unlink()
    status, last, said = session(python, repository, "-n", "0")
    assert (status, last) == (0, "3 skipped"), said
    assert "SKIPPED [2] pins/tiny.toml: not today" in said


def test_a_suite_that_cannot_run_is_one_failure(python, repository):
    (repository / "tiny.toml").unlink()
    for processes in "02":
        status, last, said = session(python, repository, "-n", processes)
        assert (status, last) == (1, "1 failed, 1 passed, 1 skipped"), said
        assert "the suite cannot be run: " in said
        assert "not compared, for the same reason as pins/tiny.toml::model=" in said


def test_a_suite_without_a_pin_is_an_error(python, repository):
    path = repository / "pins" / "tiny.toml"
    path.write_text(path.read_text().partition("[[cells]]")[0])
    status, last, said = session(python, repository, "-n", "0")
    assert (status, last) == (2, "1 error"), said
    assert f"{path}: no cell is pinned; write pins with bench pin " in said


def test_options_that_choose_tests_choose_pins(python, repository):
    options = ("-n", "0", *FROM_STORE)
    assert session(python, repository, *options, "--collect-only")[:2] == (0, "3 tests collected")
    for left_out in ("--ignore=pins", "--ignore-glob=pins/*", "--ignore-glob=**/tiny.toml"):
        assert session(python, repository, "-n", "0", left_out)[:2] == (0, "1 passed")
    assert session(python, repository, *options, "-k", "other")[1] == "1 passed, 2 deselected"
    path = repository / "pins" / "tiny.toml"
    text = path.read_text()
    path.write_text(text.replace("auroc = 0.", "auroc = 9.", 1))
    assert session(python, repository, *options, "-x")[:2] == (1, "1 failed")
    _, last, _ = session(python, repository, *options, "--lf")
    assert last.removesuffix(", 1 deselected") == "1 failed"
    path.write_text(text)
    _, last, _ = session(python, repository, *options, "--lf")
    assert last.removesuffix(", 1 deselected") == "1 passed"


@pytest.mark.parametrize("mode", ["loadfile", "loadgroup"])
def test_processes_share_pins(python, repository, mode):
    status, last, said = session(python, repository, "-n", "2", "--dist", mode, *FROM_STORE)
    assert (status, last) == (0, "3 passed"), said


@pytest.mark.parametrize("paths", ['["."]', '["tests", "pins"]', '["tests/test_own.py"]'])
def test_pins_below_a_test_path_are_collected_once(python, repository, paths):
    (repository / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\ntestpaths = {paths}\n")
    status, last, said = session(python, repository, "--collect-only", "-n", "0")
    assert (status, last) == (0, "3 tests collected"), said


def test_files_that_are_not_pins_are_left_alone(python, repository):
    path = repository / "pins" / "tiny.toml"
    path.write_text(textwrap.dedent(BOARD))
    (path.parent / "test_foreign.py").write_text("def test_never():\n    raise AssertionError\n")
    (path.parent / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    (path.parent / "gone.toml").symlink_to("nowhere")
    status, last, said = session(python, repository, "-n", "0")
    assert (status, last) == (0, "1 passed"), said
    status, last, said = session(python, repository, "-n", "0", "pins/tiny.toml", "tests")
    assert "no tests collected" not in said


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
