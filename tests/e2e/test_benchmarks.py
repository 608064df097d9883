"""Benchmarks run: in miniature, and without a look at their figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def run(*arguments):
    done = subprocess.run([*arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_script_for_a_gpu_in_miniature(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHON", sys.executable)
    said = run(str(FOLDER / "gpu.sh"), "--miniature", "--out", str(tmp_path))
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures.keys() >= {"ceiling", "gradients", "training", "agreement", "quickstart"}, said
    assert {row["device"] for row in figures["quickstart"][:2]} == {"cpu"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("training.py --size quickstart-linear --repeats 1", "ours"),
        ("layer_gradients.py --sizes quickstart --threads 1 --repeats 1", "engine / plain"),
    ],
)
def test_benchmarks_of_speed(command, expected, monkeypatch):
    root = os.pathsep.join([str(FOLDER), str(FOLDER.parent)])
    monkeypatch.setenv("PYTHONPATH", root)
    script, *arguments = command.split()
    said = run(sys.executable, str(FOLDER / script), *arguments)
    assert expected in said
