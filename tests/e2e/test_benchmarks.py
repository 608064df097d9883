"""Benchmarks run: in miniature, and without a look at their figures."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

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
def test_what_fails_on_a_gpu_is_noted_and_the_rest_goes_on(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    gpu = importlib.import_module("gpu")
    entries = list(gpu.without_required_options(gpu.Registry(), "statistics"))
    (good,) = (entry for entry in entries if entry[0] == "log_prob")

    def failing(*_):
        raise RuntimeError("out of memory\nmore")

    monkeypatch.setattr(gpu, "without_required_options", lambda *_: [("bad", failing), good])
    bench = gpu.Bench(torch.device("cpu"), True, tmp_path, time.monotonic() + 600)
    gpu.agreement(bench)
    bad, found = bench.figures["agreement"]
    assert bad == {"statistic": "bad", "not": "out of memory"}
    assert found == {"statistic": "log_prob", "largest difference": 0.0, "agrees": True}
    monkeypatch.setattr(gpu, "without_required_options", lambda *_: [("bad", failing)])
    gpu.training(bench)
    rows = bench.figures["training"]
    assert [row["not"] for row in rows] == ["out of memory"] * 3
    assert gpu.Bench(torch.device("cpu"), True, tmp_path, time.monotonic() - 1).left == 0


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


@pytest.mark.slow
def test_two_versions_of_a_model_are_timed_in_turn(tmp_path):
    """The other tree has a slower model: its training steps take 1.1 s more."""
    for name in ("harness", "oodbench", "plugins", "pyproject.toml"):
        (tmp_path / name).symlink_to(FOLDER.parent / name)
    (tmp_path / "sitecustomize.py").write_text(SLOWER, encoding="utf-8")
    script = [sys.executable, str(FOLDER / "models.py"), "--against", str(tmp_path)]
    options = "--models vae --minibatch 4 --few 2 --seconds 0 --threads 1 2".split()
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in run(*script, *options).splitlines()
    ]
    assert [row[:3] for row in rows] == [["`vae`", "1x28x28", threads] for threads in "12"]
    for row in rows:
        cells = dict(zip(head, row, strict=True))
        assert 1 < float(cells["training, before"]) < 4
        assert float(cells["training, float32"]) > 8
        assert float(cells["training, ratio"]) > 2


SLOWER = """
import time
from plugins.models.networks.vae import VAE

training_loss = VAE.training_loss

def slower(*arguments):
    time.sleep(1.1)
    return training_loss(*arguments)

VAE.training_loss = slower
"""

PEER = """
import torch
from oodbench import Images
from plugins.models.glow import glow


class Glow(torch.nn.Module):
    def __init__(self, *, image_shape, hidden_channels, K, L, **others):
        super().__init__()
        height, width, channels = image_shape
        domain = Images(channels, height, width)
        self.glow = glow(domain, levels=L, steps=K, width=hidden_channels)

    def forward(self, x, y_onehot):
        bits = -self.glow.log_density((x + 0.5) * 256) / x[0].numel()
        return None, bits, None
"""


@pytest.mark.slow
def test_peers_are_brought_by_the_reader(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "glow.py").write_text(PEER, encoding="utf-8")
    script = [sys.executable, str(FOLDER / "peers.py"), "--glow-pytorch", str(tmp_path)]
    script += ["--module", "theirs.glow"]
    said = run(*script, "--sizes", "tiny", "--minibatch", "4", "--few", "2", "--repeats", "1")
    rows = [line.split()[:3] for line in said.splitlines()[2:]]
    methods = ("other", "float32", "bfloat16")
    assert rows == [["tiny", part, name] for part in ("step", "gradients") for name in methods]
