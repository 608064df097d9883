"""The tutorial on saved epochs: scripts, suites and commands work as printed."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from harness.cli.app import app
from harness.registry.registry import Registry
from tests.unit.compute import forms

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "saved-epochs.md"
BLOCKS = dict(
    re.findall(r"<!-- (.*?) -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
)
OWN_TABLE = re.search(r"\[models.mine.checkpoints\].*?\n\n", BLOCKS["saved.toml"], re.DOTALL)
STEPS = (25, 50, 75, 100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files of the page, after the training."""
    place = tmp_path_factory.mktemp("tutorial")
    for name in ("network.py", "train.py", "my_flow.py", "saved.toml"):
        (place / name).write_text(BLOCKS[name])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.syspath_prepend(str(place))
        runpy.run_path("train.py")
    return place


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def called(line, status=0):
    words = shlex.split(line)[1:]
    if words[0] == "run":
        words += ["--display", "none", "--executor", "sequential"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done.output


def suite_of(name, epochs):
    """The suite with the table of another section, and other epochs."""
    assert OWN_TABLE is not None
    text = BLOCKS["saved.toml"].replace(OWN_TABLE[0], BLOCKS[name] + "\n")
    text = re.sub(r"epochs = \[.*?\]", f"epochs = {list(epochs)}", text)
    Path(name).write_text(text.replace(', "gradient-gaussian"', ""))
    return name


def numbers(text):
    """The rows of the table, without the column of the epoch."""
    return re.findall(r"^(?:log-likelihood|typicality) +\d+ +(.*)", text, re.MULTILINE)


def test_the_commands_lead_to_a_table_over_the_epochs(here):
    path, train, *commands = BLOCKS["commands"].splitlines()
    assert (path, train) == ("export PYTHONPATH=.", "python train.py")  # as the fixtures do
    output = {line: called(line) for line in commands}
    table = output["bench run saved.toml"]
    for scorer in ("log-likelihood", "typicality", "gradient-gaussian"):
        rows = re.findall(rf"^{scorer} +(\d) +\d+\.\d+", table, re.MULTILINE)
        assert rows == list("12345678")
    assert "mine was not trained here; according to the suite it was trained on digits" in table
    assert "mine: 8 epochs in runs/epoch_{epoch}.pt" in output["bench plan saved.toml"]
    assert "any epoch" in output["bench report saved.toml --epochs"]


def test_without_the_prefix_check_names_it(here):
    Path("prefix.toml").write_text(BLOCKS["saved.toml"].replace('add = "flow."\n', ""))
    assert 'all match with add = "flow."' in called("bench check prefix.toml", status=1)


def test_every_scorer_has_numbers_or_says_why_not(here):
    names = Registry().names("scorers")
    text = re.sub(r"scorers = \[.*?\]", f"scorers = {names}", BLOCKS["saved.toml"])
    text = re.sub(r"epochs = \[1.*?\]", "epochs = [1, 2]", text) + "\n" + BLOCKS["every.toml"]
    text = text.replace("[6, 7, 8]", "[1, 2]").replace("= 100\n", "= 10\n")
    Path("every.toml").write_text(text)
    table = called("bench run every.toml")
    rows = re.findall(r"^([a-z0-9-]+) +([12]) +\d+\.\d+ +(\S+) +(\S+)$", table, re.MULTILINE)
    assert [(name, epoch) for name, epoch, *_ in rows] == [(x, e) for x in names for e in "12"]
    lacking = {name for name, _, *found in rows if "n/a" in found}
    of_text = {"mean-byte", "min-k", "zlib-size"}
    of_noise = {"ddpm-ood", "diffusion-path", "score-norms"}
    others = {"dose", "hierarchical-ratio", "lid", "lid-dimension"}
    assert lacking == of_text | of_noise | others
    for method in ("log_prob_terms", "to_noise"):
        assert re.search(rf"^n/a .*{method}.* lacks this method$", table, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "write", "place", "epochs"),
    [
        ("lightning.toml", forms.lightning, "runs/epoch={}.ckpt", range(8)),
        ("huggingface.toml", forms.trainer_folder, "runs/checkpoint-{}", STEPS),
    ],
)
def test_the_other_forms_give_the_same_numbers(here, name, write, place, epochs):
    for number, epoch in enumerate(epochs, 1):
        found = torch.load(f"runs/epoch_{number}.pt", weights_only=True)
        state = found["model_state_dict"]
        prefix = "" if write is forms.lightning else "net."
        write(Path(place.format(epoch)), forms.under(prefix, state))
    table = called(f"bench run {suite_of(name, epochs)}")
    axis = "step" if name == "huggingface.toml" else "epoch"
    assert re.search(rf"^scorer +{axis} +bits/dim", table, re.MULTILINE)
    kept = len(list(epochs))
    Path("plain.toml").write_text(BLOCKS["saved.toml"].replace(', "gradient-gaussian"', ""))
    expected = numbers(called("bench run plain.toml"))
    plain = [re.sub(r"[*~!]", "", " ".join(row.split())) for row in expected]
    found = [re.sub(r"[*~!]", "", " ".join(row.split())) for row in numbers(table)]
    assert found == plain[:kept] + plain[8 : 8 + kept]


@pytest.mark.parametrize(
    ("package", "name", "epochs"),
    [("lightning", "lightning", range(8)), ("accelerate", "huggingface", STEPS)],
)
def test_the_scripts_write_files_that_are_read(here, package, name, epochs, tmp_path, monkeypatch):
    pytest.importorskip(package)  # transformers trains with accelerate only
    for file in ("network.py", "train.py", "my_flow.py"):
        (tmp_path / file).write_text(BLOCKS[file])
    monkeypatch.chdir(tmp_path)
    runpy.run_path("train.py")
    (tmp_path / "script.py").write_text(BLOCKS[f"{name}.py"])
    runpy.run_path("script.py")
    table = called(f"bench run {suite_of(f'{name}.toml', epochs)}")
    assert len(numbers(table)) == 2 * len(epochs)
