"""Fresh environments into which tests install wheels that they build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUICK = ("-p", "no:anyio", "-p", "no:hypothesispytest")
"""Leave out plugins of pytest whose imports take a second of each session."""
UV = os.environ.get("UV") or shutil.which("uv")
FAKE_TORCH = """
__version__ = "VERSION"
class Ones:
    def __matmul__(self, other): return 2.0
def ones(n): return Ones()
def tensor(values): return values
def get_num_threads(): return 1
class cuda:
    device_count = staticmethod(lambda: 0)
"""
"""What the doctor asks of torch."""
BUILD = """
import os, sys
from hatchling.build import build_wheel
out, *projects = sys.argv[1:]
for project in projects:
    os.chdir(project)
    build_wheel(out)
"""


def run(*command, cwd):
    """A command, to its end."""
    return subprocess.run(
        [str(item) for item in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


def write_fake_torch(folder: Path) -> Path:
    """Write what the doctor asks of torch and torchvision, whose imports take seconds.

    Returns:
        The folder, to be searched before others.
    """
    for name in ("torch", "torchvision"):
        text = FAKE_TORCH.replace("VERSION", version(name))
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(text)
    (folder / "torchvision" / "ops.py").write_text("def nms(*given): return [0]")
    return folder


def make_environment(
    folder: Path, projects: Sequence[Path], lends_the_project: bool = True
) -> Path:
    """A fresh environment with these distributions; its Python.

    Their wheels are built and installed as ever. What they depend on is not installed again but
    lent by this environment: nothing is downloaded.

    Arguments:
        folder: Where the environment and the wheels are made.
        projects: Folders of distributions.
        lends_the_project: Lend the checkout of this project too.
    """
    wheels = folder / "wheels"
    wheels.mkdir()
    copies = []
    for project in projects:
        copies.append(folder / "sources" / project.name)
        ignored = shutil.ignore_patterns(".*", "__pycache__", "tests", "docs", "bench-store")
        shutil.copytree(project, copies[-1], ignore=None if lends_the_project else ignored)
    done = run(sys.executable, "-c", BUILD, wheels, *copies, cwd=folder)
    assert done.returncode == 0, done.stderr
    environment = folder / "environment"
    done = run(UV, "venv", "--offline", "--python", sys.executable, environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    python = environment / "bin" / "python"
    options = ["--offline", "--no-deps", "--python", python]
    done = run(UV, "pip", "install", *options, *wheels.glob("*.whl"), cwd=folder)
    assert done.returncode == 0, done.stderr
    (site,) = environment.glob("lib/python*/site-packages")
    lent = [sysconfig.get_path("purelib"), *([ROOT] if lends_the_project else [])]
    (site / "lent.pth").write_text("".join(f"{path}\n" for path in lent))
    return python
