"""Other packages named `harness`, `plugins` or `suites`: neither side is harmed.

The distribution is built as a wheel and installed into a fresh environment; a repository of a user
has packages of these names in its folder, where Python, pytest and notebooks find them first.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import SUITE
from tests.environments import QUICK, ROOT, run

OWN_TEST = """
import harness
import plugins.models
import suites
from harness import VALUE
from harness.inner import inner


def test_own():
    assert (VALUE, inner(), plugins.models.VALUE, suites.VALUE) == (1, 2, 1, 1)
"""
CONFTEST = "import harness\nimport plugins.models\n"


@pytest.fixture
def repository(tmp_path, write_suite):
    """A user's repository: packages of our names, a test of them, and a suite."""
    root = tmp_path / "own"
    for package in ("harness", "plugins", "plugins/models", "suites"):
        (root / package).mkdir(parents=True)
        (root / package / "__init__.py").write_text("VALUE = 1\n")
    (root / "harness" / "inner.py").write_text("def inner():\n    return 2\n")
    (root / "tests").mkdir()
    (root / "tests" / "test_own.py").write_text(OWN_TEST)
    write_suite(SUITE, "own/tiny.toml")
    write_suite(SUITE, "own/suites/own.toml")
    return root


def bench(python, *arguments, **options):
    return run(python.with_name("bench"), *arguments, **options)


def run_tests(command, folder, *options):
    common = [*QUICK, "-q", "-n", "0", "-p", "no:cacheprovider", "-W", "error"]
    return run(*command, *common, *options, cwd=folder)


def without_init_files(repository):
    """Make the packages folders without `__init__.py`, and test the one module that is left."""
    for path in repository.rglob("__init__.py"):
        path.unlink()
    (repository / "plugins" / "mine.py").write_text("VALUE = 3\n")
    (repository / "tests" / "test_own.py").write_text(
        "import plugins.mine\nfrom harness.inner import inner\n\n\n"
        "def test_own():\n    assert (inner(), plugins.mine.VALUE) == (2, 3)\n"
    )


def on_path(monkeypatch, folder):
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_commands_use_their_own_packages(python, repository, monkeypatch):
    on_path(monkeypatch, repository)
    listed = bench(python, "list", "models", "--json", cwd=repository)
    assert {row["name"] for row in json.loads(listed.stdout)} >= {"glow", "glow-linear"}
    broken = bench(python, "plugins", "list", "--json", cwd=repository)
    assert {row["state"] for row in json.loads(broken.stdout)} == {"active"}
    module = run(python, "-m", "oodbench", "list", "scorers", cwd=repository)
    assert "gradient-gaussian" in module.stdout


def test_suites_are_shipped_in_the_package(python, repository):
    rows = json.loads(bench(python, "list", "suites", "--json", cwd=repository).stdout)
    paths = {row["suite"]: Path(row["path"]) for row in rows}
    assert paths["quickstart"].parent.parts[-2:] == ("oodbench", "suites")
    suites = {path.relative_to(ROOT / "suites") for path in ROOT.glob("suites/**/*.toml")}
    names = {str(path.with_suffix("")) for path in suites if path.parent.name != "common"}
    assert set(paths) == names | {"suites/own.toml"}
    code = "import sys, oodbench\nfor name in sys.argv[1:]: oodbench.load(name).plan()"
    planned = run(python, "-P", "-c", code, *sorted(paths), cwd=repository)
    assert planned.returncode == 0, planned.stderr


@pytest.mark.parametrize("executor", ["processes", "sequential"])
def test_workers_use_their_own_packages(python, repository, monkeypatch, executor):
    on_path(monkeypatch, repository)
    options = ["--workers", 2, "--executor", executor, "--display", "none"]
    done = bench(python, "run", "tiny.toml", *options, cwd=repository)
    assert done.returncode == 0, done.stderr
    assert "All 2 cells have a number." in done.stdout


MODES = ["prepend", "append", "importlib"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("package", ["regular", "without __init__"])
def test_pytest_as_a_module(python, repository, mode, package):
    if package == "without __init__":
        without_init_files(repository)
    done = run_tests([python, "-m", "pytest"], repository, f"--import-mode={mode}")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


PLACES = [(mode, place) for mode in MODES for place in ("conftest", "pythonpath", "PYTHONPATH")]
PLACES.remove(("importlib", "conftest"))  # this mode puts no folder of a conftest.py on the path


@pytest.mark.parametrize(("mode", "place"), PLACES)
def test_pytest(python, repository, monkeypatch, mode, place):
    options = [f"--import-mode={mode}"]
    if place == "conftest":
        (repository / "conftest.py").write_text(CONFTEST)
    elif place == "pythonpath":
        options += ["-o", "pythonpath=."]
    else:
        on_path(monkeypatch, repository)
    script = [python, "-P", "-c", "import pytest; raise SystemExit(pytest.console_main())"]
    done = run_tests(script, repository, *options)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_pins_are_compared_beside_other_packages(python, pinned, repository, monkeypatch):
    on_path(monkeypatch, repository)
    for name in ("pins", "store", "data"):
        shutil.copytree(pinned / name, repository / name)
    monkeypatch.setenv("BENCH_DATA", str(repository / "data"))
    (repository / "conftest.py").write_text(CONFTEST)
    options = ("-o", "bench_store=store", "pins", "tests")
    done = run_tests([python, "-m", "pytest"], repository, *options)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


IMPORTS = {
    "import oodbench": "import oodbench, harness\nassert harness.VALUE == 1",
    "the vocabulary": (
        "import oodbench\n"
        "assert oodbench.Images(1, 2, 2).dims == 4\n"
        "from oodbench.testing import assert_conforms\n"
        "import plugins\n"
        "assert plugins.VALUE == 1"
    ),
    "a plugin in one's own `plugins`": (
        "import plugins.models\n"
        "from oodbench import Entry, hookimpl\n"
        "assert Entry('a', ':B', '').name == 'a'"
    ),
}


@pytest.mark.parametrize("code", IMPORTS.values(), ids=IMPORTS)
@pytest.mark.parametrize("place", ["current folder", "PYTHONPATH"])
def test_a_process_of_the_user(python, repository, monkeypatch, code, place):
    if place == "PYTHONPATH":
        on_path(monkeypatch, repository)
    done = run(python, "-c", code, cwd=repository if place == "current folder" else ROOT.parent)
    assert done.returncode == 0, done.stderr


CONFLICTS = {
    "theirs first": ("import harness, oodbench\noodbench.Images", "own/harness", "site"),
    "ours first": ("import oodbench\noodbench.Images\nfrom harness import inner", "site", "own"),
    "ours first, a module": (
        "import oodbench\noodbench.Images\nimport harness.inner",
        "site",
        "own",
    ),
}


@pytest.mark.parametrize(("code", "first", "second"), CONFLICTS.values(), ids=CONFLICTS)
def test_who_comes_second_is_told_both_folders(python, repository, code, first, second):
    done = run(python, "-c", code, cwd=repository)
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: ")
    said = message.partition("has imported the package 'harness' of ")[2]
    one, _, other = said.partition(", so it cannot import that of ")
    assert first in one
    assert second in other
    assert message.endswith("in a separate process (the command `bench` has one), or rename yours")


def test_a_module_that_neither_package_has_is_not_found_as_ever(python, tmp_path):
    code = "import oodbench\noodbench.Images\nimport harness.nothing"
    done = run(python, "-c", code, cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: No module named 'harness.nothing'"
    )


def test_a_command_in_a_process_that_has_another_package(python, repository, tmp_path):
    """As where a `sitecustomize` imports it."""
    (repository / "usercustomize.py").write_text("import harness\n")
    code = "import usercustomize\nfrom oodbench._start import main\nmain()"
    done = run(python, "-c", code, cwd=repository)
    assert done.returncode == 2
    assert done.stderr.startswith("bench: this process has imported the package 'harness' of ")


NOTEBOOK = """
import nbclient, nbformat, sys
cells = ["import oodbench", "x = oodbench.Images(1, 2, 2)", "import plugins",
         "assert plugins.VALUE == 1 and x.dims == 4"]
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
nbclient.execute(notebook, kernel_name="fresh")
print("executed")
"""


def test_a_notebook_kernel(python, repository, tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "fresh" / "kernel.json"
    spec.parent.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": command, "display_name": "fresh", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    done = run(sys.executable, "-c", NOTEBOOK, cwd=repository)
    assert done.stdout == "executed\n", done.stderr


def test_the_environment_has_the_wheel_and_not_the_checkout(python):
    code = "import oodbench, sys; print(oodbench.__file__)"
    found = run(python, "-c", code, cwd=ROOT.parent).stdout
    assert "site-packages" in found
    assert sys.prefix not in found
