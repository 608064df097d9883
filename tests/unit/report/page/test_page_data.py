"""The report page holds what the results say, and nothing in it acts."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from harness.compute.samples import stored_samples
from harness.plan.jobs import ChainId
from harness.report.epochs import epoch_tables, to_json
from harness.report.figures.layers import layer_band
from harness.report.figures.series import training_results
from harness.report.looks import looks
from harness.report.page import build as page_module
from harness.report.page import trainings
from harness.report.page.layers import unpacked_band
from harness.report.tables import auroc_tables
from harness.results import Beaten, Metrics, Published, Result
from harness.run.outcome import Outcome
from tests.made_results import with_metrics
from tests.page_of import SCORER, SCRIPT, TITLE, column, data_of, make

METRICS = ("auroc", "auroc_se", "auroc_low", "auroc_high", "aupr", "fpr95", "n_in", "n_out", "ovl")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def data(made):
    return data_of(made.page())


def by_row(made):
    """The result of each row, in the order of the plan."""
    results = {result.cell: result for result in made.outcome.results}
    return [results[planned.cell] for planned in made.outcome.plan.cells]


def test_every_number_is_that_of_its_result(made, data):
    rows = by_row(made)
    assert data["cells"] == len(rows) == 24
    assert column(data, "model") == [row.cell.model for row in rows]
    assert column(data, "in") == [row.cell.in_dataset for row in rows]
    assert column(data, "out") == [row.cell.out_dataset for row in rows]
    assert column(data, "scorer") == [row.cell.scorer for row in rows]
    for key in ("epoch", "group_size", "seed"):
        assert column(data, key) == [getattr(row.cell, key) for row in rows]
    for key in (*METRICS, *(name for name in Metrics._fields if name.startswith("bits"))):
        expected = [getattr(row.metrics, key) for row in rows]
        np.testing.assert_allclose(column(data, key), expected, rtol=0, atol=5.1e-7)
    assert set(column(data, "status")) == {"ok"}
    assert set(column(data, "likelihood")) == {"exact"}


def test_looks_stand_in_the_order_of_the_names(made, data):
    found = looks(made.outcome.plan, made.outcome.results)
    for key, slots in (("scorer", found.focus), ("in", found.datasets), ("out", found.datasets)):
        assert (
            dict(zip(data["names"][key], data["looks"][key], strict=True)).items() <= slots.items()
        )
    assert data["looks"]["families"] == ["glow"]
    folded = data_of(made.page(looks=looks(made.outcome.plan, [], [SCORER])))
    slots = dict(zip(folded["names"]["scorer"], folded["looks"]["scorer"], strict=True))
    assert [name for name, slot in slots.items() if slot is not None] == [SCORER]


def test_marks_are_those_of_the_tables(made, data):
    marks = {}
    for table in auroc_tables(made.outcome.results):
        for row in table.rows:
            for out, cell in zip(table.out_datasets, row.cells, strict=True):
                marks[table.group_size, row.scorer, row.epoch, out] = cell.mark
    keys = zip(*(column(data, k) for k in ("group_size", "scorer", "epoch", "out")), strict=True)
    assert column(data, "mark") == [marks[key] for key in keys]
    assert {"best", "tied"} <= set(marks.values())


def test_published_values(made):
    published = Published(0.9, 0.01, 0.88, 0.92, -0.05, False, "a paper")
    first, *others = made.outcome.results
    changed = [replace(first, published=published), *others]
    data = data_of(made.page(outcome=Outcome(made.outcome.plan, changed, [])))
    assert column(data, "published") == [0.9] + [None] * 23
    assert column(data, "published_se") == [0.01] + [None] * 23
    assert column(data, "within_error") == [False] + [None] * 23


def test_trivial_baselines_that_beat_a_scorer_are_named(made):
    first, *others = made.outcome.results
    beaten = Beaten("mean<b>", 0.1234, True), Beaten("png-size", 0.02, False)
    changed = [replace(first, beaten_by=beaten), *others]
    data = data_of(made.page(outcome=Outcome(made.outcome.plan, changed, [])))
    expected = "mean<b> by 0.123; png-size by 0.020 (within error)"
    assert column(data, "beaten_by") == [expected] + [""] * 23


def test_every_cell_has_its_scores(made, data):
    for row, result in enumerate(by_row(made)):
        found = data["details"][str(row)]
        assert sum(found["bins"]["in"]) == result.metrics.n_in
        assert sum(found["bins"]["out"]) == result.metrics.n_out
        roc = found["roc"]
        assert (roc["in"][-1], roc["out"][-1]) == (result.metrics.n_in, result.metrics.n_out)
        assert roc["in"][roc["at95"]] / result.metrics.n_in == result.metrics.fpr95


def test_layers_are_those_of_the_statistics(made, data):
    (story,) = training_results(made.outcome.plan, made.outcome.results, made.store)
    for row, planned in enumerate(made.outcome.plan.cells):
        cell = planned.cell
        pairs = story.layers(cell.out_dataset, cell.epoch, cell.group_size)
        for place, values in zip(data["layers"]["rows"][str(row)], pairs, strict=True):
            packed = data["layers"]["bands"][place]
            assert data["layers"]["names"][packed["names"]] == story.layer_names()
            band = layer_band(values)
            step = (packed["most"] - packed["least"]) / 65534
            expected = [band.low, band.middle, band.high]
            np.testing.assert_allclose(unpacked_band(packed), expected, rtol=0, atol=step)


def test_examples_are_the_extremes_and_their_images(made, data):
    examples = data["examples"]
    for row, (planned, result) in enumerate(
        zip(made.outcome.plan.cells, by_row(made), strict=True)
    ):
        jobs = next(iter(planned.reads.values()))
        sides = ((jobs[1], result.scores_in), (jobs[2], result.scores_out))
        for place, (job, scores) in zip(examples["rows"][str(row)], sides, strict=True):
            side, size = examples["sides"][place], planned.cell.group_size
            prepared = made.outcome.plan.prepared[job.draw.dataset]
            ids = job.draw.ids(prepared.counts["test"])
            sheet = examples["sets"][side["set"]]
            shown = {1: 6, 5: 1}[size]
            for end, order in (("most", -scores), ("least", scores)):
                groups = np.argsort(order, kind="stable")[:shown]
                found = [[sheet["ids"][tile] for tile in g["tiles"]] for g in side[end]]
                assert found == [list(ids[g * size : (g + 1) * size]) for g in groups]
            check_tile(sheet, side["most"][0]["tiles"][0], prepared.load("test"))


def check_tile(sheet, tile, images):
    """The tile of an atlas shows the image whose number it has."""
    png = base64.b64decode(sheet["png"].removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    top, left = np.multiply(divmod(tile, sheet["columns"]), (sheet["height"], sheet["width"]))
    cut = pixels[top : top + sheet["height"], left : left + sheet["width"]]
    image = images[sheet["ids"][tile], 0].astype(float)
    levels = 255 / (16 if images.max() <= 16 else 255)
    np.testing.assert_allclose(cut, image * levels, atol=0.51)


def test_a_loss_and_a_log_probability_have_units_of_their_own(made, monkeypatch):
    expected = {
        "lower_bound": ("bits/dim", "bits/dim"),
        "estimate": ("loss", "bits/dim"),
        "unnormalized": ("loss", "bits/dim + constant"),
    }
    for kind, units in expected.items():
        monkeypatch.setattr(trainings, "_facts", lambda *_, kind=kind: {"likelihood": kind})
        (found,) = trainings.training_data(made.outcome.plan, made.store)
        assert (found["train_unit"], found["own_unit"]) == units


def test_training_curves_and_how_early_is_enough(made, data):
    (training,) = data["trainings"]
    assert training["epochs"] == [0, 2]
    assert training["train"][0] is None
    assert (training["train_unit"], training["own_unit"]) == ("bits/dim", "bits/dim")
    assert training["own"][1] < training["own"][0]
    rows = [
        to_json(t, row, answer)
        for t in epoch_tables(made.outcome.results)
        for row in t.rows
        for answer in row.answers
    ]
    assert len(rows) > 3
    assert data["epochs"]["rows"] == rows


def test_samples_are_drawn_if_asked_for(made, data):
    assert data["samples"]["sheets"] == []
    drawn = data_of(made.page(temperature=0.5))["samples"]
    assert [sheet["epoch"] for sheet in drawn["sheets"]] == [0, 2]
    chain = ChainId("flow", "digits", 0)
    images = stored_samples(made.outcome.plan, made.store, chain, 2, 0.5)
    levels = made.outcome.plan.chains[chain].domain.levels
    sheet = drawn["sheets"][1] | {"ids": range(len(images))}
    png = base64.b64decode(sheet["png"].removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    np.testing.assert_allclose(pixels[:8, 8:16], images[1, 0] * 255.0 / (levels - 1), atol=0.51)


class Reader(HTMLParser):
    """What a browser would make of a page: elements, and text that is shown."""

    def __init__(self):
        super().__init__()
        self.tags, self.shown, self.inside = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.shown.append(data)


def test_names_come_out_as_themselves(made):
    page = made.page()
    reader = Reader()
    reader.feed(page)
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("script") == 2
    assert "b" not in tags
    assert "alert(1)</script>" not in page
    shown = " ".join(reader.shown)
    assert TITLE in shown
    assert SCORER in shown
    assert "<script>alert(1)" in shown
    data = data_of(page)
    assert SCRIPT in data["names"]["out"]
    assert SCORER in data["names"]["scorer"]


def test_nothing_is_loaded(made):
    page = made.page()
    reader = Reader()
    reader.feed(page)
    links = [v for _, attrs in reader.tags for k, v in attrs.items() if k in ("src", "href")]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"@import|url\(", page)
    (policy,) = [a["content"] for t, a in reader.tags if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_the_command_of_a_cell(made, data):
    taken = [f"--only {data['arguments']['out'][place]}" for place in range(2)]
    text = " ".join([data["command"], *taken])
    words = shlex.split(text)
    assert words[:3] == ["bench", "run", "tiny suite.toml"]
    assert f"out={SCRIPT}" in words


def test_pending_and_failed_cells(made):
    kept, failed, *_ = made.outcome.results
    failed = Result(failed.cell, "failed", "out of </script> memory")
    pending = [result.cell for result in made.outcome.results[2:]]
    page = made.page(outcome=Outcome(made.outcome.plan, [kept, failed], pending))
    data = data_of(page)
    assert column(data, "status") == ["ok", "failed", *["pending"] * 22]
    assert column(data, "auroc")[1:] == [None] * 23
    assert column(data, "message")[1] == "out of </script> memory"
    assert list(data["details"]) == ["0"]
    assert "22 of 24 cells: not computed yet" in page
    assert "1 of 24 cells has a number: 1 failed, 22 not computed yet." in page
    assert "1 of 24 cells: out of &lt;/script&gt; memory" in page


def test_a_cell_that_does_not_apply_is_n_a_for_people_and_unsupported_in_data(made):
    first, *others = made.outcome.results
    lacking = Result(first.cell, "unsupported", "needs a flow")
    page = made.page(outcome=Outcome(made.outcome.plan, [lacking, *others], []))
    assert column(data_of(page), "status")[0] == "unsupported"
    assert '<span class="status unsupported">n/a</span> 1 of 24 cells: needs a flow' in page
    assert "23 of 24 cells have a number; 1 does not apply (n/a)." in page


def test_a_number_that_is_none_is_a_failure(made):
    first, *others = made.outcome.results
    broken = with_metrics(first, auroc=float("nan"))
    data = data_of(made.page(outcome=Outcome(made.outcome.plan, [broken, *others], [])))
    assert column(data, "status")[0] == "failed"
    assert [column(data, key)[0] for key in METRICS] == [None] * len(METRICS)


def test_without_the_images_all_else_is_there(made, tmp_path):
    gone = {
        name: replace(prepared, root=tmp_path)
        for name, prepared in made.outcome.plan.prepared.items()
    }
    plan = replace(made.outcome.plan, prepared=gone)
    page = made.page(outcome=Outcome(plan, made.outcome.results, []))
    data, whole = data_of(page), data_of(made.page())
    assert data["examples"]["sets"] == {}
    assert set(data["examples"]["without"]) == {"digits", "noise", "<script>alert(1)"}
    assert "images not on this machine" in page
    assert data | {"examples": None} == whole | {"examples": None}


def test_where_there_is_no_room_the_last_epoch_comes_first(made, monkeypatch, data):
    size = max(len(json.dumps(item)) for item in data["details"].values())
    monkeypatch.setattr(page_module, "DETAILS", 3 * size)
    monkeypatch.setattr(page_module, "LAYERS", 0)
    monkeypatch.setattr(page_module, "EXAMPLES", 0)
    found = data_of(made.page())
    assert 3 <= len(found["details"]) < 12
    cells = [made.outcome.plan.cells[int(row)].cell for row in found["details"]]
    assert {(cell.epoch, cell.group_size) for cell in cells} == {(2, 1)}
    assert found["layers"]["bands"] == []
    assert found["examples"]["sides"] == []
    assert found["columns"] == data["columns"]


def test_from_the_command_line_without_torch_and_the_same_bytes(made, tmp_path):
    suite = tmp_path / "tiny.toml"
    shutil.copy(made.settings.store.parent / "tiny.toml", suite)
    code = (
        "import sys\n"
        "from oodbench._start import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    assert 'torch' not in sys.modules\n"
        "    assert 'matplotlib' not in sys.modules\n"
    )
    html = tmp_path / "pages" / "report.html"
    folders = ["--store", str(made.settings.store), "--data", str(made.settings.data)]
    done = subprocess.run(
        [*(sys.executable, "-c", code, "report", str(suite), "--html", str(html)), *folders],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert done.returncode == 0, done.stderr
    assert "report.html has the page, 0." in done.stderr
    here = made.page(outcome=made.plain, arguments=[str(suite)])
    assert html.read_bytes() == here.encode()
    assert len(here) < 500_000
