"""Plugins from templates, and the command that examines plugins."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import BenchError, PluginError
from harness.registry.registry import Registry
from harness.registry.scaffold import PLUGIN_KINDS, new_file, new_package
from harness.testing.entries import check_registered

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def command(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize("kind", PLUGIN_KINDS)
def test_a_new_file_passes_the_kit_and_is_listed(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("plugins", "new", kind, "my-first")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == "wrote my_first.py"
    assert "  bench plugins check my_first.py" in done.stdout.splitlines()
    done = command("plugins", "check", "my_first.py", "--json")
    assert done.exit_code == 0, done.stdout
    (found,) = json.loads(done.stdout)
    assert (found["name"], found["kind"]) == ("my-first", f"{kind}s")
    assert {check["outcome"] for check in found["checks"]} <= {"passed", "skipped"}
    rows = json.loads(command("list", f"{kind}s", "-p", "my_first.py", "--json").stdout)
    assert "my-first" in {row["name"] for row in rows}


def test_all_that_is_generated_is_formatted_and_clean(tmp_path):
    for kind in PLUGIN_KINDS:
        new_file(kind, f"new-{kind}", tmp_path)
        new_package(kind, f"new-{kind}", tmp_path)
    assert len(list(tmp_path.rglob("*.py"))) == 4 * (1 + 3)
    ruff = Path(sys.executable).with_name("ruff")
    rules = ["--extend-select", "I", "--config", str(PYPROJECT), "--no-cache"]
    tests = ["--ignore", "D103"]  # tests say what they test by their names
    for arguments in (["check", *rules, *tests], ["format", "--check", *rules[2:]]):
        done = subprocess.run(
            [ruff, *arguments, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", ["scorer", "dataset"])
def test_a_light_plugin_of_a_package_needs_no_torch(kind, tmp_path):
    (project, *_) = new_package(kind, "light", tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(project.parent / 'src')!r})\n"
        f"import oodbench_light.{kind}; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("write", [new_file, new_package])
def test_nothing_is_overwritten(write, tmp_path):
    write("scorer", "mine", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    with pytest.raises(PluginError, match="already exists; nothing is overwritten"):
        write("dataset", "mine", tmp_path)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("Gradient Norm", "gradient-norm"),
        ("gradient_norm", "gradient-norm"),
        ("3d", "d"),
        ("a--b", "a-b"),
        ("../up", "up"),
        ("", "my-model"),
        ("é", "my-model"),
        ("x" * 51, "x" * 50),
    ],
)
def test_bad_names(name, suggestion, tmp_path):
    with pytest.raises(PluginError) as caught:
        new_file("model", name, tmp_path)
    assert str(caught.value) == (
        f"{name!r} is not a valid plugin name: use lower-case letters, digits and single "
        f"hyphens, a letter first, at most 50 (for example {suggestion!r})"
    )
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_taken(tmp_path):
    with pytest.raises(PluginError, match="a scorer 'typicality' already exists, from scorers"):
        new_file("scorer", "typicality", tmp_path)
    new_file("dataset", "typicality", tmp_path)  # another kind has its own names


@pytest.mark.parametrize("name", ["none", "class", "import", "images", "dataset", "entry"])
def test_names_that_mean_something_to_python(name, tmp_path):
    path = new_file("dataset", name, tmp_path)
    registry = Registry([str(path)])
    checks = check_registered(registry, registry.get("datasets", name), {}, None)
    assert {check.outcome for check in checks} == {"passed", "skipped"}


def test_the_table_of_a_check(tmp_path):
    path = new_file("scorer", "mine", tmp_path)
    wrong = path.read_text().replace("np.abs(", "-np.abs(").replace("return self\n", "return\n")
    path.write_text(wrong)
    done = command("plugins", "check", path)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("scorer mine, version ")
    assert "check              outcome  what it means" in lines
    assert "fit_returns_self   failed   fit must return self, not NoneType" in lines
    assert "fit_info           skipped  the scorer has no `fit_info`" in lines
    assert (
        "finite             passed   Scores are finite, in and out of distribution" in done.stdout
    )
    assert "is the sign reversed?" in done.stdout
    assert lines[-2] == "16 checks: 12 passed, 2 failed, 2 skipped"


def problem(*arguments):
    with pytest.raises(BenchError) as caught:
        command("plugins", "check", *arguments)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_options_reach_what_is_checked():
    small = ["-o", "height=2", "-o", "width=2", "-o", "n_train=3", "-o", "n_test=2"]
    (found,) = json.loads(command("plugins", "check", "noise", *small, "--json").stdout)
    assert {check["outcome"] for check in found["checks"]} == {"passed", "skipped"}
    assert problem("noise", "-o", "heigth=2") == (
        "heigth: unknown option (did you mean 'height'?)"
    )
    assert problem("noise", "-o", "height") == (
        "-o height: expected KEY=VALUE, for example -o steps=2"
    )


def test_what_cannot_be_checked(tmp_path):
    assert problem("typicalty") == (
        "there is no 'typicalty' to check (did you mean 'typicality'?)"
    )
    assert problem(tmp_path).endswith(
        "is a folder: install it (uv pip install -e), then give the name of an entry"
    )
    empty = tmp_path / "empty.py"
    empty.write_text("")
    assert problem(empty) == f"{empty} offers no model, data set, statistic or scorer to check"
    empty.write_text(
        "from oodbench import hookimpl\n@hookimpl\ndef bench_scorers():\n    return 1 / 0\n"
    )
    assert "bench_scorers: ZeroDivisionError: division by zero" in problem(empty)
    rival = tmp_path / "rival.py"
    text = new_file("scorer", "mine", tmp_path).read_text()
    rival.write_text(text.replace('name="mine"', 'name="typicality"'))
    assert problem(rival).startswith("scorer 'typicality' is given by ")
    assert problem("typicality", "--domain", "4") == (
        "--domain 4: expected CHANNELSxHEIGHTxWIDTH, CHANNELSxHEIGHTxWIDTHxBITS or "
        "LENGTHxVOCABULARY, such as 1x4x4, 1x2x2x2 or 8x256"
    )
    assert problem("typicality", "--unit-domain", "1x2x2x9") == (
        "--unit-domain 1x2x2x9: bits must be 1 to 8, not 9"
    )


def test_a_scorer_of_a_statistic_that_only_the_registry_knows(tmp_path):
    statistic = new_file("statistic", "mirrored", tmp_path)
    scorer = new_file("scorer", "mine", tmp_path)
    text = scorer.read_text().replace("layer_gradient_sq_norms", "mirrored")
    scorer.write_text(text.replace(".sum(axis=1)", ".sum(axis=(1, 2))"))
    (found,) = json.loads(command("plugins", "check", scorer, "-p", statistic, "--json").stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["shape_and_dtype"]["outcome"] == "passed"
    assert checks["direction"]["message"] == "the kit does not know how OOD groups change mirrored"
    failing = json.loads(command("plugins", "check", scorer, "--json").stdout)[0]["checks"]
    assert "the kit does not know the statistic 'mirrored'" in failing[0]["message"]
