"""Which cell becomes a detector, and what cannot."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.detectors.make import choose, make_detector
from harness.errors import NothingStoredError, UnsupportedError
from harness.plan.expand import select
from harness.results import Cell
from harness.run.run import run
from harness.suite import load_suite
from oodbench import BenchError
from tests.unit.detectors.conftest import PLUGIN

CELLS = [
    Cell("flow", "digits", out, scorer, epoch, size, seed)
    for out in ("noise", "photos")
    for scorer in ("typicality", "waic")
    for epoch in (0, 4)
    for size in (5, 1)
    for seed in (3, 2)
]


def test_a_value_is_left_out_where_there_is_one():
    assert choose(CELLS, {"scorer": "waic", "epoch": 4}) == [
        "model=flow",
        "in=digits",
        "scorer=waic",
        "epoch=4",
        "group_size=1",
        "seed=2",
    ]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, "choose one with --scorer: typicality, waic"),
        ({"scorer": "waic"}, "choose one with --epoch: 0, 4"),
        ({"scorer": "waik"}, r"--scorer waik: no such cell in the suite \(did you mean 'waic'"),
        ({"scorer": "waic", "epoch": 3}, r"--epoch 3: .* \(known: 0, 4\)"),
        ({"scorer": "waic", "epoch": 4, "group_size": 2}, "--group-size 2: no such cell"),
        ({"model": "glow"}, "--model glow: no such cell"),
        ({"epoc": 3}, r"'epoc' chooses no cell \(did you mean 'epoch'\?\)"),
    ],
)
def test_anything_else_must_be_chosen_and_exist(wanted, message):
    with pytest.raises(BenchError, match=message):
        choose(CELLS, wanted)


WANTED = {"scorer": "typicality", "epoch": 2}


def test_what_is_not_computed_names_the_command(made, tmp_path):
    elsewhere, new = replace(made.settings, store=tmp_path / "not here"), tmp_path / "new"
    more = tmp_path / "my plugin.py"
    more.write_text(PLUGIN.replace('"distance"', '"farther"'))
    suite = load_suite(made.path, [str(more)], ["title=A b"])
    with pytest.raises(NothingStoredError) as caught:
        make_detector(suite, elsewhere, WANTED, new)
    assert not new.exists()
    bench, *words = shlex.split(str(caught.value).partition("; run: ")[2])
    assert bench == "bench"
    assert f"--plugin={more}" in words
    done = CliRunner().invoke(app, [*words, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    make_detector(suite, elsewhere, WANTED, new)
    assert (new / "README.md").exists()


def test_no_folder_is_overwritten(made, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    for path in (tmp_path / "full", tmp_path / "full" / "letter.txt"):
        with pytest.raises(BenchError, match="exists already"):
            make_detector(made.suite, made.settings, WANTED, path)
    (tmp_path / "empty").mkdir()
    make_detector(made.suite, made.settings, WANTED, tmp_path / "empty")
    assert {path.name for path in tmp_path.iterdir()} == {"full", "empty"}


def test_scores_of_fit_examples_calibrate_nothing(made, tmp_path):
    path = made.folder / "paper.toml"
    path.write_text(made.path.read_text() + 'fit_overlap = "paper"\n')
    suite = load_suite(path)
    run(select(suite, ["scorer=typicality", "epoch=2"]), made.settings, lambda event: None)
    with pytest.raises(UnsupportedError, match="cannot calibrate a detector"):
        make_detector(suite, made.settings, WANTED, tmp_path / "new")


def test_the_readme_says_how_well_it_did_on_what_and_how_to_run_it(made):
    folder, detector = made.detector("distance")
    text = (folder / "README.md").read_text()
    row = detector.facts["results"][0]
    low, high = row["auroc_low"], row["auroc_high"]
    assert f"| noise | 30 | {row['auroc']:.3f} | {low:.3f} to {high:.3f} |" in text
    for words in (
        "flow at epoch 2, seed 0; its log-probability is exact",
        "Scorer: distance",
        "bench detector run distance-1 files/ -p FILE-WITH-distance",
        "30 calibration scores",
        "(30 other groups were used for that)",
        "At alpha = 0.05, at most 3.23 % are flagged",
        "was trained on 256 random examples",
    ):
        assert words in " ".join(text.split())
    assert all(len(line) < 100 or line.startswith("|") for line in text.splitlines())
