"""Published values: read from a file, set beside our own, shown in every format."""

from __future__ import annotations

import json

import pytest

from harness.cli.display.displays import NoDisplay
from harness.errors import SuiteError
from harness.metrics.roc import hanley_mcneil
from harness.plan.expand import make_plan
from harness.report.render.formats import render
from harness.results import Cell, Published
from harness.run.run import run
from harness.scoring.published import beside, published_interval, within_error
from harness.suite import load_suite
from harness.suite.references import Reference
from tests.made_results import made_result
from tests.unit.suite.test_paper_suites import NAMES, opened

VALUES = [
    {"in": "digits", "out": "noise", "group_size": 1, "epoch": "last", "auroc": 0.5},
    {"in": "digits", "out": "noise", "group_size": 5, "epoch": 0, "auroc": 1.0},
    {"in": "digits", "out": "noise", "group_size": 5, "epoch": 7, "auroc": 1.0},
]


@pytest.fixture
def referring(tiny_suite):
    """The tiny suite with a reference that an included file names."""

    def build(values=VALUES, **changes):
        content = {"source": "A paper", "scorer": "typicality", "examples": 30, "values": values}
        folder = tiny_suite.parent / "common"
        folder.mkdir(exist_ok=True)
        (folder / "values.json").write_text(json.dumps(content | changes))
        (folder / "reference.toml").write_text('reference = "values.json"\n')
        text = tiny_suite.read_text()
        if "include" not in text:
            tiny_suite.write_text('include = ["common/reference.toml"]\n' + text)
        return tiny_suite

    return build


def cell(out="noise", epoch=2, group_size=1, scorer="typicality", seed=0):
    return Cell("flow", "digits", out, scorer, epoch, group_size, seed)


def test_the_last_epoch_is_the_largest_of_the_suite(referring):
    reference = load_suite(referring()).reference
    assert reference.value(cell()) == 0.5
    assert reference.value(cell(epoch=0, group_size=5)) == 1.0
    assert reference.value(cell(out="photos")) is None
    assert reference.value(cell(scorer="log-likelihood")) is None
    assert reference.value(cell(epoch=0)) is None
    assert (reference.source, reference.examples) == ("A paper", 30)


@pytest.mark.parametrize("order", [1, -1])
def test_an_epochs_own_value_counts_more_than_that_of_the_last(referring, order):
    values = [{**VALUES[0], "epoch": 2, "auroc": 0.25}, VALUES[0]]
    assert load_suite(referring(values[::order])).reference.value(cell()) == 0.25


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"values": [{**VALUES[0], "auroc": 1.5}]}, "values.0.auroc: Input should be less than"),
        ({"values": [{**VALUES[0], "epoch": "first"}]}, "values.0.epoch."),
        ({"sauce": "x"}, "sauce: Extra inputs are not permitted"),
    ],
)
def test_a_file_of_something_else_is_an_error_of_the_suite(referring, changes, problem):
    path = referring(**changes)
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    common = path.parent / "common"
    start = f"{common / 'reference.toml'}:1: reference: {common / 'values.json'}: {problem}"
    assert str(caught.value).startswith(start)


def test_a_reference_that_is_not_there(tiny_suite):
    tiny_suite.write_text('reference = "absent.json"\n' + tiny_suite.read_text())
    with pytest.raises(SuiteError) as caught:
        load_suite(tiny_suite)
    assert str(caught.value) == (
        f"{tiny_suite}:1: reference: {tiny_suite.parent / 'absent.json'} cannot be read: "
        "No such file or directory"
    )


def test_ours_is_set_beside_the_published():
    reference = Reference("A paper", 1000, 4, {("digits", "noise", "typicality", 2, 5): 0.9})
    found = beside(reference, made_result(cell(group_size=5), auroc=0.93, auroc_se=0.02))
    interval = published_interval(0.9, 200, 4)
    se = hanley_mcneil(0.9, 200, 200)
    assert found == Published(0.9, se, *interval, 0.93 - 0.9, True, "A paper")
    found = beside(reference, made_result(cell(group_size=5), auroc=0.99, auroc_se=0.001))
    assert not found.within_error
    assert beside(reference, made_result(cell(group_size=1), auroc=0.9, auroc_se=0.02)) is None
    assert beside(None, made_result(cell(), auroc=0.9)) is None


@pytest.mark.parametrize(
    ("groups", "low", "se"),
    [(1000, 0.9980, 0.0010), (200, 0.9903, 0.0049), (10_000, 0.9997, 1e-4)],
)
def test_a_published_value_of_one_has_an_interval(groups, low, se):
    assert published_interval(1.0, groups, 4) == (pytest.approx(low, abs=6e-5), 1.0)
    assert published_interval(0.0, groups, 4)[1] == pytest.approx(1 - low, abs=6e-5)
    reference = Reference("A paper", groups, 4, {("digits", "noise", "typicality", 2, 1): 1.0})
    found = beside(reference, made_result(cell(), auroc=0.93, auroc_se=0.02))
    assert found.se == pytest.approx(se, abs=6e-5)
    assert not found.within_error


def test_the_interval_of_a_published_value_includes_its_rounding():
    low, high = published_interval(0.9, 200, 1)
    fine_low, fine_high = published_interval(0.9, 200, 6)
    assert (fine_low - low, high - fine_high) == pytest.approx((0.057, 0.042), abs=0.01)
    assert fine_high - fine_low == pytest.approx(3.92 * hanley_mcneil(0.9, 200, 200), rel=0.05)


def test_a_difference_is_within_error_up_to_two_standard_errors_of_it():
    assert within_error(-0.0979, 0.03, 0.04)  # 1.958 * 0.05
    assert not within_error(0.0981, 0.03, 0.04)
    assert within_error(0.0, 0.0, 0.0)
    assert not within_error(1e-6, 0.0, 0.0)


def test_a_run_shows_them_and_keeps_them(referring, settings):
    path = referring()
    outcome = run(load_suite(path), settings, NoDisplay())
    found = {r.cell: r for r in outcome.results if r.published}
    assert set(found) == {cell(), cell(epoch=0, group_size=5)}
    result = found[cell()]
    assert result.published.difference == pytest.approx(result.metrics.auroc - 0.5)
    assert result.published.se == hanley_mcneil(0.5, 30, 30)
    kept = json.loads((settings.store / "results" / "tiny" / "results.json").read_bytes())
    (row,) = [row for row in kept["results"] if row["published"] and row["epoch"] == 2]
    assert set(row["published"]) == {
        *("value", "se", "low", "high", "difference", "within_error", "source")
    }


def result(auroc, se, published, **place):
    theirs = hanley_mcneil(published, 200, 200)
    is_within = within_error(auroc - published, se, theirs)
    interval = published_interval(published, 200, 4)
    beside = Published(published, theirs, *interval, auroc - published, is_within, "A *paper*")
    provenance = {"notes": ["flow was trained on 10 examples"]}
    numbers = {"auroc": auroc, "auroc_se": se, "aupr": 0.5, "fpr95": 0.5}
    return made_result(cell(**place), **numbers, published=beside, provenance=provenance)


RESULTS = [
    result(0.91, 0.02, 0.9, out="photos", epoch=2, group_size=5),
    result(0.98, 0.01, 0.9, epoch=2, group_size=5),
    result(0.92, 0.01, 0.9, epoch=0, group_size=5),
    result(1.0, 0.0, 1.0, epoch=2, group_size=1),
    made_result(cell(epoch=1), auroc=0.7, auroc_se=0.1, aupr=0.5, fpr95=0.5),
    made_result(
        cell(epoch=3), "failed", published=Published(0.5, 0.1, 0.3, 0.7, 0.1, True, "A *paper*")
    ),
]


def text_of(results, format):
    return render(results, suite="tiny", title="Tiny", format=format)


def test_the_table():
    text = text_of(RESULTS, "table")
    expected = """
Comparison with published values: flow, in-distribution digits, typicality

out     group size  epoch           ours      published  difference  within error
─────────────────────────────────────────────────────────────────────────────────
noise            1      2  1.0000±0.0000  1.0000±0.0000     +0.0000           yes
noise            5      0  0.9200±0.0100  0.9000±0.0160     +0.0200           yes
photos           5      2  0.9100±0.0200  0.9000±0.0160     +0.0100           yes
noise            5      2  0.9800±0.0100  0.9000±0.0160     +0.0800            no

Published: A *paper*.
± is the standard error: for our AUROC as in the tables above; for the published value by Hanley \
and McNeil, from the value and the number of groups.
3 of 4 differences, ours minus published, are within error: at most 1.96 standard errors, \
assuming independent samples.
Note: flow was trained on 10 examples
"""
    assert text[text.index("\nComparison") :] == expected


def test_markdown_and_latex():
    markdown = text_of(RESULTS, "markdown")
    heading = "## Comparison with published values: flow, in-distribution digits, typicality\n"
    assert heading in markdown
    assert "| noise  |            5 |       2 | 0.9800±0.0100 | 0.9000±0.0160 |" in markdown
    assert r"Published: A \*paper\*." in markdown
    assert r"0.9800$\pm$0.0100" in text_of(RESULTS, "latex")


def test_json_and_csv():
    rows = json.loads(text_of(RESULTS, "json"))["results"]
    assert rows[1]["published"] == {
        "value": 0.9,
        "se": hanley_mcneil(0.9, 200, 200),
        "low": published_interval(0.9, 200, 4)[0],
        "high": published_interval(0.9, 200, 4)[1],
        "difference": 0.98 - 0.9,
        "within_error": False,
        "source": "A *paper*",
    }
    assert rows[4]["published"] is None
    header, _, second, *_ = text_of(RESULTS, "csv").splitlines()
    assert header.endswith(
        "published_difference,published_within_error,published_source,beaten_by"
    )
    assert second.endswith(",0.07999999999999996,False,A *paper*,")


def test_seeds_are_averaged():
    place = {"epoch": 2, "group_size": 5}
    seeds = [result(0.90 + 0.04 * s, 0.01 + 0.02 * s, 0.9, seed=s, **place) for s in (0, 1)]
    text = text_of(seeds, "table")
    assert "noise           5      2  0.9200±0.0200  0.9000±0.0160     +0.0200" in text
    assert "Our AUROC is the mean over 2 seeds." in text


def test_without_published_values_there_is_no_table():
    assert "published" not in text_of(RESULTS[4:5], "table")


@pytest.mark.parametrize("name", NAMES)
def test_every_value_of_the_paper_has_its_cells(name):
    suite = opened(name)
    cells = [planned.cell for planned in make_plan(suite, {}).cells]
    found = {cell: value for cell in cells if (value := suite.reference.value(cell)) is not None}
    assert len(suite.reference.values) == len(found) == 128
    assert {cell.scorer for cell in found} == {"gradient-gaussian"}


def test_some_values_of_the_paper():
    value = opened("paper").reference.value
    scorer = "gradient-gaussian"
    assert value(Cell("glow-linear", "mnist", "kmnist", scorer, 80, 1, 0)) == 0.9522
    assert value(Cell("glow-linear", "mnist", "kmnist", scorer, 200, 1, 0)) == 0.9511
    assert value(Cell("glow-linear", "omniglot", "mnist", scorer, 100, 5, 0)) == 1.0
    assert value(Cell("glow", "cifar10", "celeba", scorer, 250, 1, 0)) == 0.4142
    assert opened("paper").reference.examples == 1000
