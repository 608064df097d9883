"""Files of the installed package that another distribution overwrites, and how people are told."""

from __future__ import annotations

import json

import pytest

from tests.environments import ROOT, UV, make_environment, run

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "weaver"
version = "3.1"

[tool.hatch.build.targets.wheel]
include = ["*.py"]
"""
BUILD = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"


@pytest.fixture
def python(tmp_path):
    """The Python of an environment in which the wheel is installed."""
    return make_environment(tmp_path, [ROOT], lends_the_project=False)


@pytest.fixture
def install(python, tmp_path):
    """Install a distribution whose package `harness` has one module."""

    def install_module(name):
        folder = tmp_path / "weaver"
        (folder / "harness").mkdir(parents=True)
        (folder / "harness" / name).write_text("THREADS = 40\n")
        (folder / "pyproject.toml").write_text(PROJECT)
        run(python, "-c", BUILD, tmp_path, cwd=folder)
        (wheel,) = tmp_path.glob("weaver-*.whl")
        options = ["--offline", "--no-deps", "--python", python]
        done = run(UV, "pip", "install", *options, wheel, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    return install_module


def examine(python, tmp_path):
    """What the doctor finds about the files, and its exit status."""
    done = run(python.with_name("bench"), "doctor", "--json", cwd=tmp_path)
    (found,) = [item for item in json.loads(done.stdout) if item["what"] == "files"]
    return found, done.returncode


ADVICE = "install oodbench again, in an environment without the other distribution"


def test_the_doctor_names_the_file_and_the_distribution(python, install, tmp_path):
    sound, status = examine(python, tmp_path)
    assert (sound["state"], status) == ("ok", 0)
    assert sound["found"].endswith(f" files in {site(python)}, as installed")
    install("__init__.py")
    found, status = examine(python, tmp_path)
    assert (found["state"], status) == ("bad", 1)
    assert found["found"] == f"in {site(python)}: harness/__init__.py: overwritten by weaver 3.1"
    assert found["advice"] == ADVICE


def site(python):
    (folder,) = python.parents[1].glob("lib/python*/site-packages")
    return folder.resolve()


def test_files_that_a_person_changed_or_removed(python, tmp_path):
    for name in ("COPY", "a", "b", "c"):
        site(python).joinpath("plugins", name).write_text("")  # an added file changes nothing
    with site(python).joinpath("plugins", "__init__.py").open("a") as file:
        file.write("\n")
    site(python).joinpath("oodbench", "suites", "paper.toml").unlink()
    found, _ = examine(python, tmp_path)
    names = "oodbench/suites/paper.toml, plugins/__init__.py"
    assert found["found"] == f"in {site(python)}: {names}: changed after the installation"


@pytest.mark.parametrize("name", ["errors.py", "settings.py"])
def test_commands_that_cannot_start_say_why(python, install, tmp_path, name):
    """`errors` is imported by every command, `settings` by this one."""
    install(name)
    done = run(python.with_name("bench"), "doctor", cwd=tmp_path)
    assert done.returncode == {"errors.py": 2, "settings.py": 70}[name]
    assert done.stderr.startswith("bench: ")
    said = f"in {site(python)}: harness/{name}: overwritten by weaver 3.1; {ADVICE}"
    assert said in done.stderr


def test_an_error_of_another_kind_is_raised_as_ever(python, tmp_path):
    code = "import sys\nsys.modules['typer'] = None\nfrom oodbench._start import main\nmain()\n"
    done = run(python, "-c", code, cwd=tmp_path)
    assert done.stderr.splitlines()[-1].startswith("ModuleNotFoundError: import of typer halted")
