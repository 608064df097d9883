"""Completion in shells: commands, options, kinds, names and suites, without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "sklearn", "scipy", "matplotlib", "PIL")
CODE = f"""
import atexit, sys
atexit.register(lambda: print('heavy:', [m for m in {HEAVY} if m in sys.modules], file=sys.stderr))
from oodbench._start import main
sys.argv = ['bench']
main()
"""


def completed(line, cwd=None):
    """Return what bash is offered for the last word of a line."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | asked | {"_BENCH_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        cwd=cwd,
    )
    assert (done.returncode, done.stderr) == (0, "heavy: []\n"), done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bench pl", ["plan", "plugins"]),
        ("bench plugins n", ["new"]),
        ("bench run --al", ["--allow-missing"]),
        ("bench run --se", ["--set"]),
        ("bench list s", ["statistics", "scorers", "suites"]),
        ("bench show glow", ["glow", "glow-linear"]),
        ("bench show -p no:scorers typ", ["typicality", "typicality-test"]),
        ("bench plugins check wa", ["waic"]),
        ("bench run x.toml --executor p", ["processes"]),
        ("bench data fetch cif", ["cifar10"]),
        ("bench show absent", []),
    ],
)
def test_names(line, expected):
    assert completed(line) == expected


def test_suites(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine.toml", "mine.txt", "other.toml", "mine/deep.toml"):
        (tmp_path / name).touch()
    assert completed("bench run mi", tmp_path) == ["mine/", "mine.toml"]
    assert completed("bench store ls mine/", tmp_path) == ["mine/deep.toml"]
    assert completed("bench data list mi", tmp_path) == ["mine/", "mine.toml"]
    everything = completed("bench plan ", tmp_path)
    assert everything[:3] == ["mine/", "mine.toml", "other.toml"]
    assert any(path.endswith("suites/quickstart.toml") for path in everything)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_works_in_bash(tmp_path):
    bench = tmp_path / "bench"
    bench.write_text(f"#!{sys.executable}\nfrom oodbench._start import main\nmain()\n")
    bench.chmod(0o755)
    script = (
        'eval "$(_BENCH_COMPLETE=source_bash bench)"; complete -p bench; '
        "COMP_WORDS=(bench list mod); COMP_CWORD=2; _bench_completion bench; "
        'echo "${COMPREPLY[@]}"'
    )
    places = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env=os.environ | places, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["complete -o default -F _bench_completion bench", "models"]
