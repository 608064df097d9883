"""Suites in Python: the same values, mistakes and results as from a file and a command."""

from __future__ import annotations

import json
import os
import tomllib

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import oodbench
from harness.cli.app import app
from tests.unit.stored import copy


def tables(made):
    return tomllib.loads((made / "small.toml").read_text(encoding="utf-8"))


def places(folder):
    return {"store": folder / "store", "data": folder / "data"}


def bench(*arguments):
    done = CliRunner().invoke(app, [*map(str, arguments)])
    return f"{done.output}{done.exception or ''}"


def planned(suite, folder):
    found = suite.plan(**places(folder)).to_dict()
    return {key: value for key, value in found.items() if key != "suite"}


def test_a_suite_in_python_plans_what_its_file_plans(made):
    written = oodbench.load(made / "small.toml")
    built = oodbench.Suite(tables(made), name="small")
    assert planned(built, made) == planned(written, made)
    assert planned(built, made)["cells"] == {"all": 4, "new": 0, "unsupported": 0}
    assert (built.name, built.title) == (written.name, written.title) == ("small", "Tiny")


def test_tables_may_have_values_of_python_and_numpy(made):
    (comparison,) = tables(made)["comparisons"]
    comparison |= {"epochs": (np.int64(0), 2), "n_in": np.array(30)}
    built = oodbench.Suite({**tables(made), "comparisons": (comparison,)})
    assert planned(built, made)["cells"]["new"] == 0


def test_files_are_relative_to_the_current_folder(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    without = {key: value for key, value in tables(made).items() if key != "comparisons"}
    comparisons = tables(made)["comparisons"]
    (tmp_path / "one.npy").touch()
    np.save(tmp_path / "one.npy", np.zeros((20, 8, 8), np.uint8))
    (tmp_path / "base.toml").write_text('[datasets.other]\nplugin = "noise"\n')
    files = {"path": "one.npy", "size": 8, "channels": 1}
    suite = oodbench.Suite(
        {**without, "include": ["base.toml"]},
        datasets=without["datasets"] | {"own": {"plugin": "folder", "options": files}},
        comparisons=[comparisons[0] | {"out": ["own", "other"]}],
    )
    results = suite.select(out="own").run(**places(tmp_path), missing="run", display="none")
    assert len(results) == 4


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"model": {}}, "mine: model: unknown key (did you mean 'models'?)"),
        (
            {"models": {"flow": {"plugin": "glwo", "training": "brief"}}},
            "mine: models.flow.plugin: there is no model plugin 'glwo' (did you mean 'glow'?)",
        ),
        (
            {"models": {"flow": {"plugin": "glow", "training": "breif"}}},
            "mine: models.flow.training: there is no training recipe 'breif' (did you mean",
        ),
        (
            {"training": {"brief": {"minibatches": 1}}},
            "mine: training.brief.minibatches: unknown key (did you mean 'minibatch'?)",
        ),
        (
            {"datasets": {"noise": {"plugin": "noise", "options": {"n_trian": 1}}}},
            "mine: datasets.noise.options.n_trian: unknown option (did you mean 'n_train'?)",
        ),
        ({"include": ["abset.toml"]}, "abset.toml: no such file in"),
        ({"include": 3}, "mine: include: expected a list of file names"),
        ({"comparisons": [3]}, "mine: comparisons[0]: "),
    ],
)
def test_a_mistake_is_named_by_its_key(made, change, mistake):
    with pytest.raises(oodbench.BenchError) as caught:
        oodbench.Suite({**tables(made), **change}, name="mine")
    assert mistake in str(caught.value)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\nb"])
def test_the_name_of_a_suite_is_that_of_a_folder(made, name):
    with pytest.raises(oodbench.BenchError, match="cannot be the name of a suite"):
        oodbench.Suite(tables(made), name=name)


def test_a_selection_is_that_of_the_command_line(made):
    asked = {"scorer": ["typicality", "log-likelihood"], "epoch": 2, "in_": "digits"}
    suite = oodbench.load(made / "small.toml").select(**asked)
    only = ["scorer=typicality", "scorer=log-likelihood", "epoch=2", "in=digits"]
    assert suite.plan(**places(made)).to_dict() == json.loads(
        bench(
            *("plan", made / "small.toml", "--json", "--store", made / "store"),
            *("--data", made / "data"),
            *(word for text in only for word in ("--only", text)),
        )
    )
    again = suite.select(scorer="typicality")
    assert [cell.scorer for cell in again.run(**places(made), missing="error").cells] == [
        "typicality"
    ]
    assert len(suite.run(**places(made), missing="error")) == 2  # unchanged


@pytest.mark.parametrize(
    ("asked", "mistake"),
    [
        ({"scorers": "typicality"}, "there is no key 'scorers' (did you mean 'scorer'?)"),
        ({"scorer": "typicalty"}, "--only scorer=typicalty: no cell has this value (did you"),
        ({"epoch": [2, 3]}, "--only epoch=3: no cell has this value (known: 0, 2)"),
    ],
)
def test_a_selection_of_nothing_is_refused(made, asked, mistake):
    with pytest.raises(oodbench.BenchError) as caught:
        oodbench.load(made / "small.toml").select(**asked)
    assert mistake in str(caught.value)


def test_texts_of_a_plan_are_those_of_the_command(made):
    suite = oodbench.load(made / "small.toml")
    arguments = ("--store", made / "store", "--data", made / "data")
    for why, options in ((False, ()), (True, ("--why",))):
        text = bench("plan", made / "small.toml", *arguments, *options)
        found = suite.plan(**places(made), why=why)
        assert str(found) == text
        assert repr(found) == text.rstrip("\n")
        assert found._repr_html_().startswith("<pre>training")


def test_what_is_missing_is_computed_left_out_or_refused(made, tmp_path, capfd):
    folder = copy(made, tmp_path / "copy")
    (comparison,) = tables(made)["comparisons"]
    suite = oodbench.Suite({**tables(made), "comparisons": [comparison | {"epochs": [0, 1]}]})
    stored = suite.run(**places(folder), missing="report")
    assert {cell.epoch for cell in stored.cells} == {0}
    assert stored.summary()[0] == "2 of 4 cells have a number: 2 not computed yet."
    assert stored.pending_note == "2 of 4 cells are not computed yet; suite.run()"
    with pytest.raises(oodbench.BenchError, match="2 of 4 cells are not computed yet"):
        suite.run(**places(folder), missing="error")
    threads, before = torch.get_num_threads(), dict(os.environ)
    assert capfd.readouterr() == ("", "")
    computed = suite.run(**places(folder), threads=threads + 1)
    out, err = capfd.readouterr()
    assert out == ""
    assert "training" in err or "computed" in err or "epoch" in err
    assert {cell.epoch for cell in computed.cells} == {0, 1}
    assert computed.pending_note == ""
    assert torch.get_num_threads() == threads
    assert dict(os.environ) == before
    assert len(suite.run(**places(folder), missing="error")) == 4


def test_an_empty_store_is_named(made, tmp_path):
    for missing in ("report", "error"):
        with pytest.raises(oodbench.BenchError) as caught:
            oodbench.load(made / "small.toml").run(store=tmp_path / "none", missing=missing)
        assert f"are stored in {tmp_path / 'none'}; run: bench run {made}" in str(caught.value)
    with pytest.raises(oodbench.BenchError, match="are stored in .*; run: suite.run()"):
        oodbench.Suite(tables(made)).run(store=tmp_path / "none", missing="report")


def test_an_unknown_way_to_treat_what_is_missing(made):
    with pytest.raises(oodbench.BenchError, match="missing='rum': did you mean 'run'?"):
        oodbench.load(made / "small.toml").run(missing="rum")


def test_the_data_folder_of_a_call_is_that_of_data_sets_too(made, tmp_path):
    """A published data set names the folder with its raw files."""
    mnist = tables(made) | {"comparisons": [tables(made)["comparisons"][0] | {"in": "mnist"}]}
    with pytest.raises(oodbench.BenchError, match="is 1x8x8|1x28x28"):
        oodbench.Suite(mnist)
    noise = {"noise": {"plugin": "noise", "options": {"height": 28, "width": 28}}}
    suite = oodbench.Suite(mnist | {"datasets": noise})
    with pytest.raises(oodbench.MissingDataError) as caught:
        suite.run(store=tmp_path / "store", data=tmp_path / "elsewhere", display="none")
    assert str(tmp_path / "elsewhere" / "raw") in str(caught.value)
    assert not str(oodbench.raw_root()).startswith(str(tmp_path / "elsewhere"))
