"""Results in Python: what the commands print, and the scores behind it."""

from __future__ import annotations

import io
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas
import pytest
from typer.testing import CliRunner

import oodbench
from harness.cli.app import app
from harness.metrics.paired import compared
from harness.metrics.roc import auroc


def report(made, *options):
    places = ["--store", made / "store", "--data", made / "data"]
    arguments = ["report", made / "small.toml", *places, *options]
    return CliRunner().invoke(app, [*map(str, arguments)]).output


def test_rows_and_data_frame_are_the_csv(made, results):
    text = report(made, "--format", "csv")
    frame = results.to_dataframe()
    assert frame.to_csv(index=False) == text
    assert list(results.to_dicts()[0]) == list(pandas.read_csv(io.StringIO(text)).columns)
    assert frame["auroc"].dtype == np.float64
    assert frame["auroc_low"].tolist() == [row["auroc_low"] for row in results.to_dicts()]
    assert frame["n_fit"].tolist() == [0, 0, 30, 30]


def test_missing_numbers_of_a_data_frame(made, results):
    from harness.api.frames import data_frame

    rows = [{"a": 1, "b": 0.5, "c": "x"}, {"a": None, "b": None, "c": None}]
    frame = data_frame(rows, ["a", "b", "c"])
    assert frame.to_csv(index=False) == "a,b,c\n1,0.5,x\n,,\n"
    assert frame["b"].dtype == np.float64


def test_without_pandas_the_error_says_what_to_do(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(oodbench.BenchError, match=r"to_dicts\(\) needs nothing"):
        results.to_dataframe()
    assert len(results.to_dicts()) == len(results) == 4


def test_text_is_that_of_the_command(made, results):
    tables = report(made)
    assert str(results).startswith(tables)
    assert repr(results).startswith(tables)
    for format in ("markdown", "latex", "json", "csv"):
        assert results.text(format=format) == report(made, "--format", format)
    assert results.text("epochs", margin=0.2) == report(made, "--epochs", "--margin", "0.2")
    ranked = results.text("scorers", format="csv")
    assert (
        ranked.splitlines()[0]
        == report(made, "--ranking", "scorers", "--format", "csv").split("\n")[0]
    )
    assert results.summary()[0] == "All 4 cells have a number."
    with pytest.raises(oodbench.BenchError, match="there is no report 'epoch'.*'epochs'"):
        results.text("epoch")


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.cells = [], []

    def handle_starttag(self, tag, attrs):
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.cells.append(data.strip())


def test_a_notebook_shows_tables(results):
    page = Elements()
    page.feed(results._repr_html_())
    assert page.open == []
    for row in results.to_dicts():
        assert any(cell.startswith(f"{row['auroc']:.3f}") for cell in page.cells)
    assert "log-likelihood" in page.cells


def test_names_are_inert_in_a_notebook(results):
    assert "<h3>&lt;script&gt;</h3>" in results.text(format="html", title="<script>")


def test_scores_are_those_of_the_result_with_their_examples(made, results):
    for row, cell in zip(results.to_dicts(), results.cells, strict=True):
        found = results.scores(cell)
        assert auroc(found.scores_in, found.scores_out) == row["auroc"]
        assert found.examples_in.shape == (30, 1)
        assert len(set(found.examples_in.ravel().tolist())) == 30
        rows = found.to_dicts()
        assert rows[0] == {
            "side": "in",
            "dataset": "digits",
            "split": "test",
            "group": 0,
            "examples": found.examples_in[0].tolist(),
            "score": found.scores_in[0],
        }
        assert [item["side"] for item in rows] == ["in"] * 30 + ["out"] * 30
        frame = found.to_dataframe()
        assert frame["score"].tolist() == [*found.scores_in, *found.scores_out]
    by_row = results.scores(results.to_dataframe().iloc[3])
    by_name = results.scores(scorer="typicality", epoch=2)
    assert by_row.cell == by_name.cell == results.cells[3]


@pytest.mark.parametrize(
    ("asked", "mistake"),
    [
        ({}, "4 cells have no value: give scorer, epoch as well"),
        ({"scorer": "typicality"}, "2 cells have scorer=typicality: give epoch as well"),
        ({"scorer": "typicalty"}, "scorer=typicalty: no cell has this value (did you mean"),
        ({"scorer": "typicality", "epoch": 7}, "epoch=7: no cell has this value (known: 0, 2)"),
    ],
)
def test_an_unknown_cell_is_refused(results, asked, mistake):
    with pytest.raises(oodbench.BenchError) as caught:
        results.scores(**asked)
    assert mistake in str(caught.value)


def test_scorers_are_compared_by_paired_tests(results):
    found = results.compare("log-likelihood", "typicality")
    by_cell = {result.cell: result for result in results.outcome.results}
    assert len(found.cells) == 2
    for item in found.cells:
        a = by_cell[item.cell]
        b = by_cell[item.cell._replace(scorer="typicality")]
        assert item.difference == pytest.approx(b.metrics.auroc - a.metrics.auroc)
        assert item.p_value == compared([b], [a], "same").p_value
    kind = "the log-probability is exact (flow)"
    assert str(found).startswith(f"A: log-likelihood; {kind}\nB: typicality; {kind}\n\n")
    assert found.to_dict()["b"] == "typicality"
    back = results.compare("typicality", "log-likelihood")
    assert [item.difference for item in back.cells] == [-item.difference for item in found.cells]


@pytest.mark.parametrize(
    ("names", "mistake"),
    [
        (("typicalty", "log-likelihood"), "there is no scorer or model 'typicalty' (did you mean"),
        (("typicality", "flow"), "are a scorer and a model"),
    ],
)
def test_a_comparison_of_unknown_or_unlike_names_is_refused(results, names, mistake):
    with pytest.raises(oodbench.BenchError) as caught:
        results.compare(*names)
    assert mistake in str(caught.value)


def test_the_page_of_a_suite_file_names_its_command(results, tmp_path):
    page = results.page(tmp_path / "new" / "report.html")
    assert "bench run " in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_figures_are_files(made, tmp_path):
    suite = oodbench.load(made / "small.toml").select(scorer="typicality", epoch=2)
    one = suite.run(store=made / "store", data=made / "data", missing="error")
    drawn = one.figures(tmp_path / "figures")
    assert {path.suffix for path in drawn.files} == {".png", ".pdf"}
    assert all(path.is_file() for path in drawn.files)


def test_the_page_of_a_suite_in_python_names_no_command(made, tmp_path):
    import tomllib

    tables = tomllib.loads((made / "small.toml").read_text(encoding="utf-8"))
    suite = oodbench.Suite(tables)
    results = suite.run(store=made / "store", data=made / "data", missing="error")
    text = results.page(str(tmp_path / "report.html")).read_text(encoding="utf-8")
    assert "bench run" not in text.replace("\\n", " ").partition("<script")[0]
    assert "The suite was built in Python" in text
    assert '"command":""' in text


def test_reports_import_neither_torch_nor_pandas(made):
    code = (
        "import sys, oodbench\n"
        f"suite = oodbench.load({str(made / 'small.toml')!r})\n"
        f"results = suite.run(store={str(made / 'store')!r}, data={str(made / 'data')!r},"
        " missing='error')\n"
        "assert len(results.to_dicts()) == len(results.text('epochs') and results) == 4\n"
        "print([name for name in ('torch', 'sklearn', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
