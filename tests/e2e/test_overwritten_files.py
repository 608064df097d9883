"""Files of the installed package that another distribution overwrites, and how people are told."""

from __future__ import annotations

import json
import shutil
from zipfile import ZipFile

import pytest

from tests.environments import UV, run, write_fake_torch

WEAVER = {
    "METADATA": "Metadata-Version: 2.1\nName: weaver\nVersion: 3.1\n",
    "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


@pytest.fixture
def python(python, tmp_path, monkeypatch):
    """The Python of an environment in which the wheel is installed, a copy to be changed."""
    monkeypatch.setenv("PYTHONPATH", str(write_fake_torch(tmp_path / "fake")))
    half_written = shutil.ignore_patterns("*.pyc.*")
    folder = shutil.copytree(
        python.parents[1], tmp_path / "environment", symlinks=True, ignore=half_written
    )
    return folder / "bin" / "python"


@pytest.fixture
def install(python, tmp_path):
    """Install a distribution whose package `harness` has one module."""

    def install_module(name):
        wheel = tmp_path / "weaver-3.1-py3-none-any.whl"
        files = {f"harness/{name}": "THREADS = 40\n"}
        files |= {f"weaver-3.1.dist-info/{part}": text for part, text in WEAVER.items()}
        record = "weaver-3.1.dist-info/RECORD"
        files[record] = "".join(f"{path},,\n" for path in (*files, record))
        with ZipFile(wheel, "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
        options = ["--offline", "--no-deps", "--python", python]
        done = run(UV, "pip", "install", *options, wheel, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    return install_module


def bench(python, *arguments, cwd):
    """A command; the script `bench` of a copy would start the Python of the original."""
    return run(python, "-m", "oodbench", *arguments, cwd=cwd)


def examine(python, tmp_path):
    """What the doctor finds about the files, and its exit status."""
    done = bench(python, "doctor", "--json", cwd=tmp_path)
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
    done = bench(python, "doctor", cwd=tmp_path)
    assert done.returncode == {"errors.py": 2, "settings.py": 70}[name]
    assert done.stderr.startswith("bench: ")
    said = f"in {site(python)}: harness/{name}: overwritten by weaver 3.1; {ADVICE}"
    assert said in done.stderr


def test_an_error_of_another_kind_is_raised_as_ever(python, tmp_path):
    code = "import sys\nsys.modules['typer'] = None\nfrom oodbench._start import main\nmain()\n"
    done = run(python, "-c", code, cwd=tmp_path)
    assert done.stderr.splitlines()[-1].startswith("ModuleNotFoundError: import of typer halted")
