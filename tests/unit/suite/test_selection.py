"""Selections: part of a suite's plan, by the names of what its cells are about."""

from __future__ import annotations

import json

import pytest

from harness.cli.display.displays import NoDisplay
from harness.errors import BenchError, NothingSelectedError
from harness.plan.expand import make_plan, select
from harness.results import Cell
from harness.run.run import run
from harness.suite import load_suite
from harness.suite.selection import parse_selection

CELLS = [
    Cell("flow", in_, out, scorer, epoch, size, 0)
    for in_, out in (("digits", "noise"), ("noise", "digits"))
    for scorer in ("typicality", "log-likelihood")
    for epoch in (1, 10)
    for size in (1, 5)
]


def taken(*texts):
    only = parse_selection(texts, CELLS)
    return [cell for cell in CELLS if only.selects(cell)]


def test_nothing_asked_for_takes_all():
    assert taken() == CELLS


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("model=flow", lambda cell: True),
        ("in=digits", lambda cell: cell.in_dataset == "digits"),
        ("out=digits", lambda cell: cell.out_dataset == "digits"),
        ("scorer=typicality", lambda cell: cell.scorer == "typicality"),
        ("epoch=10", lambda cell: cell.epoch == 10),
        ("group_size=5", lambda cell: cell.group_size == 5),
        ("seed=0", lambda cell: cell.seed == 0),
    ],
)
def test_each_key_takes_the_cells_that_have_the_value(text, holds):
    assert taken(text) == [cell for cell in CELLS if holds(cell)]


def test_values_of_a_key_are_alternatives_and_keys_combine():
    assert taken("epoch=1", "epoch=10") == CELLS
    assert taken("in=digits", "epoch=1", "group_size=5", "scorer=typicality") == [
        Cell("flow", "digits", "noise", "typicality", 1, 5, 0)
    ]
    assert taken("in=digits", "out=digits") == []


def test_a_value_may_hold_an_equals_sign():
    cell = Cell("a=b", "digits", "noise", "typicality", 1, 1, 0)
    assert parse_selection(["model=a=b"], [cell]).selects(cell)


def test_the_order_in_which_it_was_given_does_not_matter():
    texts = ["epoch=10", "in=digits", "epoch=1"]
    assert parse_selection(texts, CELLS) == parse_selection(texts[::-1], CELLS)
    assert parse_selection(texts, CELLS).as_arguments() == ["in=digits", "epoch=1", "epoch=10"]


def test_every_mistake_is_named_with_what_is_nearest():
    with pytest.raises(BenchError) as caught:
        parse_selection(["epch=1", "in=digist", "epoch=7", "model", "in=digits"], CELLS)
    assert str(caught.value).splitlines() == [
        "--only epch=1: there is no key 'epch' (did you mean 'epoch'?)",
        "--only in=digist: no cell has this value (did you mean 'digits'?)",
        "--only epoch=7: no cell has this value (known: 1, 10)",
        "--only model: no cell has this value (known: flow)",
    ]
    assert caught.value.exit_status == 2


def test_the_plan_holds_what_the_selected_cells_need_and_no_more(tiny_suite):
    suite = load_suite(tiny_suite)
    plan = make_plan(select(suite, ["epoch=2", "out=noise", "scorer=typicality"]), {})
    assert len(plan.cells) == 2  # group sizes
    (chain,) = plan.chains.values()
    assert chain.epochs == {2}
    assert {job.statistic for job in chain.jobs} == {"log_prob", "dequantised_log_prob"}
    assert {job.draw.dataset for job in chain.jobs} == {"digits", "noise"}
    assert plan.needed_datasets() == ["digits", "noise"]


def test_a_selection_that_leaves_nothing(tiny_suite):
    text = tiny_suite.read_text()
    again = text[text.index("[[comparisons]]") :].replace("[0, 2]", "[5]")
    tiny_suite.write_text(text + again.replace('"others"', '"noise"'))
    suite = load_suite(tiny_suite)
    with pytest.raises(NothingSelectedError) as caught:
        select(suite, ["epoch=5", "out=photos"])
    assert str(caught.value) == f"no cell of {tiny_suite} has out=photos, epoch=5"
    assert caught.value.exit_status == 4


def test_results_of_a_selection_do_not_replace_those_of_the_suite(tiny_suite, settings):
    suite = load_suite(tiny_suite)
    run(suite, settings, NoDisplay())
    part = run(select(suite, ["epoch=2", "out=noise"]), settings, NoDisplay())
    assert len(part.results) == 6
    folder = settings.store / "results" / "tiny"
    whole = json.loads((folder / "results.json").read_bytes())
    assert (whole["only"], len(whole["results"])) == ([], 24)
    (kept,) = folder.glob("only-*/results.json")
    kept = json.loads(kept.read_bytes())
    assert kept["only"] == ["out=noise", "epoch=2"]
    assert kept["results"] == [result.to_json() for result in part.results]
    assert kept["results"] == [
        row for row in whole["results"] if row["epoch"] == 2 and row["out"] == "noise"
    ]
