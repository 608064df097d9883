"""The Ray executor without a cluster: what it needs, and whom it starts again."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

import oodbench
from oodbench import BenchError

WITHOUT_RAY = """
import sys
sys.modules["ray"] = None
import oodbench
try:
    oodbench.load("tiny.toml").run(executor="ray", display="none")
except oodbench.BenchError as error:
    print(error)
"""


def test_without_ray_the_error_names_the_extra(tiny_suite):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY], cwd=tiny_suite.parent, capture_output=True, text=True
    )
    assert "needs the package ray: install the extra `ray` of the wheel" in done.stdout, (
        done.stderr
    )


UNDER_UV = """
from plugins.executors.ray_cluster import _imported
_imported()
from ray._private import ray_constants
print(ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV)
"""


def test_rays_processes_are_not_started_by_uv(monkeypatch):
    """They would wait for ever: a copy of the current folder has no environment."""
    monkeypatch.delenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", raising=False)
    done = subprocess.run([sys.executable, "-c", UNDER_UV], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_suite_in_memory_is_refused(tiny_suite):
    with tiny_suite.open("rb") as file:
        suite = oodbench.Suite(tomllib.load(file))
    with pytest.raises(BenchError, match="need a suite in a file: save it as TOML"):
        suite.run(executor="ray", display="none")


def test_options_name_the_nearest(tiny_suite):
    with pytest.raises(BenchError, match=r"executors\.ray\.adress: unknown option .*'address'"):
        oodbench.load(tiny_suite, changes=["executors.ray.adress=auto"])
