"""`bench pin` and the pytest plugin, used as in a repository of one's own."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from harness.regression.pins import read_pins
from tests import forks
from tests.e2e.test_cli import bench
from tests.environments import QUICK

PLUGIN = """
    from pathlib import Path

    from oodbench import Entry, ScoreError, hookimpl

    HERE = Path(__file__).parent


    @hookimpl
    def bench_statistics():
        return [Entry("brightness", ":Brightness", "mean of the more rows, the larger the chunk",
                      version="1")]


    @hookimpl
    def bench_scorers():
        return [Entry("dark", ":Dark", "minus the brightness", version="1"),
                Entry("bright", ":Bright", "the brightness", version="1")]


    @hookimpl
    def bench_run_started(event):
        with (HERE / "runs").open("a") as file:
            file.write("run\\n")


    class Brightness:
        per = "example"

        def features(self, model):
            return ("brightness",)

        def __call__(self, model, groups):
            rows = 1 + len(groups) // 20
            return groups[..., :rows, :].double().mean((1, 2, 3, 4)).numpy()[:, None]


    class Dark:
        inputs = ("brightness",)
        sign = -1

        def fit(self, statistics):
            if (HERE / "broken").exists() and self.sign > 0:
                raise ScoreError("by design")
            return self

        def score(self, statistics):
            return self.sign * statistics["brightness"].mean((1, 2))


    class Bright(Dark):
        sign = 1
"""

SUITE = """
    plugins.paths = ["../plugin.py"]

    [training.brief]
    examples = 64

    [models.flow]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 2 }
    training = "brief"

    [datasets.digits]
    plugin = "digits"

    [datasets.flipped]
    plugin = "transformed"
    options = { source = "digits", transform = "flip-vertical" }

    [datasets.photos]
    plugin = "photos"
    options = { n_train = 10, n_test = 100 }

    [[comparisons]]
    models = "flow"
    in = "digits"
    out = "others"
    epochs = 0
    scorers = ["dark", "bright"]
    n_in = 100
    n_fit = 100
    n_out = 100
"""


@pytest.fixture
def repository(write_suite, tmp_path):
    """A repository with a suite and a plugin; its settings of pytest say nothing of pins."""
    write_suite(PLUGIN, "own/plugin.py")
    write_suite(SUITE, "own/suites/mine.toml")
    write_suite("def test_of_its_own():\n    pass\n", "own/tests/test_own.py")
    folder = tmp_path / "own"
    (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntestpaths = ["tests"]\n')
    return folder


def run_pytest(folder, *arguments):
    return forks.run("pytest", *QUICK, "-p", "no:cacheprovider", *arguments, cwd=folder)


def test_pins_guard_a_suite_in_a_repository_of_its_own(repository):
    alone = ["--workers", 1, "--display", "none"]
    store = ["--store", repository / "store"]
    done = bench("run", "suites/mine.toml", *alone, *store, "--threads", 1, cwd=repository)
    assert done.returncode == 0, done.stderr
    done = bench("pin", "suites/mine.toml", *alone, *store, cwd=repository)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4
    path = repository / "pins" / "mine.toml"
    pins = read_pins(path).pins
    # the statistic depends on the chunk's size, so the re-runs measured a spread
    assert max(pin.auroc.tolerance for pin in pins) > 0.004
    assert max(pin.score_in.tolerance for pin in pins) > 1

    assert_another_suite_keeps_off(repository, path)
    (repository / "runs").unlink()
    assert_all_hold_and_the_suite_is_run_once(repository)
    cells = {(pin.cell.scorer, pin.cell.out_dataset): pin for pin in pins}
    dark = cells["dark", "photos"]
    text = path.read_text()
    text = text.replace(f"auroc = {dark.auroc.value}", f"auroc = {dark.auroc.value - 0.3}")
    text = re.sub(r"tolerance = \S+\nscore", "tolerance = 0.004\nscore", text)
    path.write_text(text.replace('out = "flipped"', 'out = "gone"', 1))
    (repository / "broken").touch()
    assert_failures_are_told_apart(repository, dark)
    assert_an_update_shows_what_is_different(repository, path)


def assert_another_suite_keeps_off(repository, path):
    """A suite with the same file name neither replaces the pins nor is compared with them."""
    other = repository / "other" / "mine.toml"
    other.parent.mkdir()
    other.write_text((repository / "suites" / "mine.toml").read_text())
    before = path.read_bytes()
    for command in ("pin", "verify"):
        done = bench(command, "other/mine.toml", "--store", repository / "store", cwd=repository)
        assert (done.returncode, done.stderr) == (
            2,
            "bench: pins/mine.toml: expected the pins for other/mine.toml, found the pins for "
            "suites/mine.toml; name another file with --pins\n",
        )
    assert path.read_bytes() == before


def assert_all_hold_and_the_suite_is_run_once(repository):
    done = run_pytest(repository, "-n", "2", "-v")
    assert done.returncode == 0, done.stdout
    name = (
        "pins/mine.toml::model=flow,in=digits,out=photos,scorer=dark,epoch=0,group_size=1,seed=0"
    )
    assert f"PASSED {name}" in done.stdout
    assert "5 passed" in done.stdout
    assert (repository / "runs").read_text() == "run\n"


def assert_failures_are_told_apart(repository, dark):
    """One value moved, one cell is gone, and the other scorer is broken."""
    done = run_pytest(repository, "-n", "0", "-o", "bench_store=store")
    assert done.returncode == 1
    assert f"value moved: AUROC is {dark.auroc.value:.5f}, pinned " in done.stdout
    assert "+0.30000" in done.stdout
    assert "standard errors" in done.stdout
    assert (
        "cell missing: the suite does not include the cell; in the nearest cell out is"
        in done.stdout
    )
    assert "cell failed: failed: by design" in done.stdout
    assert "if the new value is correct, run pytest --bench-update" in done.stdout
    assert "Traceback" not in done.stdout


def assert_an_update_shows_what_is_different(repository, path):
    (repository / "broken").unlink()
    done = run_pytest(repository, "-n", "0", "-o", "bench_store=store", "--bench-update", "pins")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert any(line.startswith("- model=flow,in=digits,out=gone") for line in lines)
    assert any(line.startswith("+ model=flow,in=digits,out=flipped") for line in lines)
    assert any(line.startswith("! ") and ": AUROC " in line for line in lines)
    assert {pin.cell.out_dataset for pin in read_pins(path).pins} == {"photos", "flipped"}
    done = bench("verify", "suites/mine.toml", "--store", repository / "store", cwd=repository)
    assert (done.returncode, done.stdout) == (0, "4 of 4 pinned values hold\n")


def test_without_pins_the_plugin_imports_nothing_heavy(tmp_path):
    (tmp_path / "pins").mkdir()
    (tmp_path / "pins" / "other.toml").write_text("a = 1\n")
    (tmp_path / "test_own.py").write_text(
        "import sys\n\n\ndef test_what_is_imported():\n"
        "    names = {'torch', 'numpy', 'pydantic', 'harness', 'plugins', 'oodbench'}\n"
        "    assert 'oodbench_pytest' in sys.modules\n"
        "    assert not names & set(sys.modules)\n"
    )
    command = [sys.executable, "-m", "pytest", *QUICK, "-n", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_broken_file_of_pins_is_an_error(tmp_path):
    (tmp_path / "pins").mkdir()
    conflict = 'format = 1\nsuite = "../suite.toml"\n[[cells]]\n<<<<<<< HEAD\n'
    (tmp_path / "pins" / "mine.toml").write_text(conflict)
    done = run_pytest(tmp_path, "-n", "0")
    assert done.returncode == 2
    assert "pins/mine.toml: not a pin file: " in done.stdout
