"""How early is enough: what is shown, what is not, and what the table says."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from harness.metrics.evidence import evidence_of
from harness.metrics.paired import compared, difference_limits
from harness.report.epochs import EarlyEnough, EpochRow, early_enough, epoch_tables
from harness.report.render.epochs import render_epochs
from harness.results import Cell, Metrics
from tests.made_results import made_result, scored_result


def result(epoch, scores, *, scorer="s", out="o", seed=0, group_size=1, draw_seed=0, model="m"):
    cell = Cell(model, "i", out, scorer, epoch, group_size, seed)
    if scores is None:
        return made_result(cell, "failed", "boom")
    scores_in, scores_out = (np.asarray(side, dtype=float) for side in scores)
    return scored_result(
        cell,
        scores_in,
        scores_out,
        provenance={"draw_seed": draw_seed, "notes": ["a note"] if epoch == 1 else []},
    )


def planted(rng, shifts, n=100, common=0.9):
    """Scores of the same groups at several epochs, with a true shift at each."""
    sides = rng.normal(size=n), rng.normal(size=n)
    found = {}
    for epoch, shift in shifts.items():
        noise = [np.sqrt(1 - common) * rng.normal(size=n) for _ in sides]
        found[epoch] = (
            np.sqrt(common) * sides[0] + noise[0],
            np.sqrt(common) * sides[1] + noise[1] + shift,
        )
    return found


def row_of(epochs, margin=0.01, **options):
    results = [result(epoch, scores, **options) for epoch, scores in epochs.items()]
    (table,) = epoch_tables(results, margin)
    (row,) = table.rows
    return row


def answers(epochs, margin=0.01):
    """The answers by rule."""
    return {answer.rule: answer for answer in row_of(epochs, margin).answers}


def literal(epochs, margin):
    """The epochs by their definition: each limit alone, from the last epoch back."""
    names = sorted(epochs)
    results = {epoch: result(epoch, epochs[epoch]) for epoch in names}

    def limit(other, epoch):
        sides = (evidence_of([[results[name]]]) for name in (other, epoch))
        return difference_limits(*sides, "same", 1.6448536269514722)[1][0]

    def back(is_shown):
        found = None
        for epoch in reversed(names):
            if not is_shown(epoch):
                break
            found = epoch
        return found

    last = names[-1]
    against_all = back(lambda e: all(limit(j, e) < margin for j in names if j != e))
    return against_all, back(lambda e: e == last or limit(last, e) < margin)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("n", "margin"), [(60, 0.05), (400, 0.02), (400, 0.01)])
def test_the_epochs_are_the_literal_ones(seed, n, margin):
    rng = np.random.default_rng(seed)
    shifts = dict(zip((0, 1, 4, 16, 64), 2.5 + rng.normal(0, 0.03, 5), strict=True))
    shifts[0] -= 1.0
    epochs = planted(rng, shifts, n=n, common=0.995)
    found = answers(epochs, margin)
    assert (found["any"].epoch, found["last"].epoch) == literal(epochs, margin)


def test_the_literal_epochs_differ_between_cases():
    """The cases above contain early epochs, the last epoch, and nothing shown."""
    rng = np.random.default_rng(1)
    flat = planted(rng, dict.fromkeys((1, 2, 4), 3.0), n=400, common=0.999)
    assert [answers(flat)[rule].epoch for rule in ("any", "last")] == [1, 1]
    falling = planted(rng, {1: 2.0, 2: 1.0}, n=400)
    assert [answers(falling)[rule].epoch for rule in ("any", "last")] == [None, 1]
    rising = planted(rng, {1: 1.0, 2: 3.0}, n=400)
    assert [answers(rising)[rule].epoch for rule in ("any", "last")] == [2, 2]


def test_with_few_examples_nothing_is_shown():
    """A true difference of .05 that 30 groups cannot show must not look like equality."""
    epochs = planted(np.random.default_rng(0), {0: 1.0, 1: 1.2, 2: 1.2}, n=30, common=0.5)
    found = answers(epochs)
    assert found["any"].epoch is None
    assert found["last"].epoch == 2
    assert found["last"].training_saved is None


def test_the_papers_epoch_is_the_best_on_the_scored_groups():
    epochs = planted(np.random.default_rng(3), {1: 0.5, 5: 1.0, 20: 0.8})
    paper = answers(epochs)["paper"]
    last = result(20, epochs[20]).metrics.auroc
    assert paper.epoch == 5
    assert paper.auroc == result(5, epochs[5]).metrics.auroc
    assert paper.difference == pytest.approx(paper.auroc - last)
    assert (paper.difference_low, paper.difference_high) == (None, None)
    assert paper.training_saved == 1 - 5 / 20


def test_the_difference_has_the_interval_of_a_comparison():
    epochs = planted(np.random.default_rng(3), {1: 3.0, 20: 3.0}, n=400, common=0.999)
    found = answers(epochs)["last"]
    expected = compared([result(1, epochs[1])], [result(20, epochs[20])])
    assert found.epoch == 1
    assert found.difference == pytest.approx(expected.difference)
    assert (found.difference_low, found.difference_high) == (expected.low, expected.high)
    assert found.training_saved == 1 - 1 / 20


def test_an_earlier_epoch_would_be_shown_with_so_many_groups():
    """The limit minus the difference shrinks with the root of the number of groups."""
    few = planted(np.random.default_rng(2), {1: 1.0, 2: 1.0}, n=100, common=0.7)
    found = answers(few)["last"]
    assert found.epoch == 2
    times = found.times
    assert times > 1
    for factor, epoch in ((0.8, 2), (1.25, 1)):
        copies = round(times * factor)
        many = {e: [np.tile(side, copies) for side in scores] for e, scores in few.items()}
        assert answers(many)["last"].epoch == epoch
    worse = planted(np.random.default_rng(2), {1: 0.5, 2: 1.0}, n=200)
    assert answers(worse)["last"].times is None


def test_a_baseline_saves_nothing():
    same = planted(np.random.default_rng(0), {0: 2.0}, n=400)[0]
    found = answers({0: same, 1: same, 2: same})
    assert (found["any"].epoch, found["last"].epoch, found["paper"].epoch) == (0, 0, 0)
    assert {answer.training_saved for answer in found.values()} == {None}


def test_a_scorer_at_chance_saves_nothing():
    epochs = planted(np.random.default_rng(0), dict.fromkeys(range(3), 0.0), n=400, common=0.9999)
    found = answers(epochs)
    assert found["last"].epoch == 0
    assert {answer.training_saved for answer in found.values()} == {None}


def test_a_further_epoch_never_makes_an_earlier_epoch_shown():
    rng = np.random.default_rng(7)
    for _ in range(12):
        shifts = dict(enumerate(2.5 + rng.normal(0, 0.05, 6)))
        epochs = planted(rng, shifts, n=300, common=0.99)
        whole = answers(epochs)["any"].epoch
        for left_out in range(5):  # the last epoch stays
            part = answers({e: x for e, x in epochs.items() if e != left_out})["any"].epoch
            earliest = 6 if part is None else part
            # an epoch that is shown among all is shown among fewer
            assert whole in (None, left_out) or earliest <= whole


def test_only_epochs_that_scored_the_same_groups_with_every_seed_are_compared():
    scores = planted(np.random.default_rng(0), dict.fromkeys(range(6), 1.0), n=20)
    results = [result(epoch, scores[epoch], seed=seed) for epoch in (0, 1, 4) for seed in (0, 1)]
    results += [result(2, scores[2]), result(2, None, seed=1)]
    results += [result(3, scores[3], seed=seed, draw_seed=1) for seed in (0, 1)]
    results += [result(5, [side[:10] for side in scores[5]]), result(6, None)]
    (table,) = epoch_tables(results)
    (row,) = table.rows
    assert (row.compared, row.left_out, row.last_epoch) == (3, 4, 4)
    assert table.seeds == 2


def test_several_seeds_are_averaged_and_their_spread_counts():
    rng = np.random.default_rng(5)
    flat = planted(rng, {1: 2.5, 2: 2.5}, n=400, common=0.999)
    other = planted(rng, {1: 2.2, 2: 2.8}, n=400, common=0.999)
    third = planted(rng, {1: 2.8, 2: 2.2}, n=400, common=0.999)

    def last_rule(*seeds):
        (table,) = epoch_tables(
            [result(e, x, seed=k) for k, seed in enumerate(seeds) for e, x in seed.items()]
        )
        return next(answer for answer in table.rows[0].answers if answer.rule == "last")

    assert last_rule(flat, flat, flat).epoch == 1
    spread = last_rule(flat, other, third)
    assert (spread.epoch, spread.times > 10) == (2, True)


@pytest.mark.parametrize(
    "epochs",
    [
        {1: (np.arange(12.0), np.arange(12.0))},
        {1: None, 2: None},
        {1: (np.arange(9.0), np.arange(12.0)), 2: (np.arange(9.0), np.arange(12.0))},
    ],
    ids=["one epoch", "failed", "too few groups"],
)
def test_without_two_epochs_to_compare_there_is_no_answer(epochs):
    assert row_of(epochs).answers == ()


def test_a_table_per_model_in_data_set_and_group_size_and_rows_by_out_and_scorer():
    results = [
        result(1, None, scorer=scorer, out=out, group_size=size, model=model)
        for model, size in (("b", 5), ("a", 1))
        for scorer in ("z", "y")
        for out in ("p", "o")
    ]
    tables = epoch_tables(results)
    assert [(t.model, t.group_size) for t in tables] == [("b", 5), ("a", 1)]
    rows = [(row.out_dataset, row.scorer) for row in tables[0].rows]
    assert rows == [("p", "z"), ("p", "y"), ("o", "z"), ("o", "y")]
    assert replace(tables[0].rows[0], along=()) == EpochRow("p", "z", (), left_out=1)


@pytest.fixture
def results():
    """Nothing lost, a rise, the same at every epoch, a row that cannot be judged; odd names."""
    low, high = np.arange(400.0), np.arange(400.0) + 300
    mixed = (low, low + 100)
    return [
        *(result(epoch, (low, high + epoch // 40), out="a|b", scorer="[s]") for epoch in (1, 40)),
        *(result(epoch, (low, high), out="a|b", scorer="=t") for epoch in (1, 40)),
        *(result(e, x, out="50%", scorer="[s]") for e, x in ((10, mixed), (40, (low, high)))),
        result(40, None, out="50%", scorer="=t"),
    ]


def rendered(results, format, **options):
    return render_epochs(results, suite="paper", title="Title", format=format, **options)


def test_the_words_of_the_table(results):
    lines = rendered(results, "table").splitlines()
    assert lines[2] == "How early is enough: m, in-distribution i, group size 1"
    rows = [[cell.strip() for cell in line.split("  ") if cell] for line in lines[6:16]]
    assert [row[:4] for row in rows] == [
        ["a|b", "[s]", "any epoch", "1"],
        ["a|b", "[s]", "last epoch", "1"],
        ["a|b", "[s]", "paper", "40"],
        ["a|b", "=t", "any epoch", "1"],
        ["a|b", "=t", "last epoch", "1"],
        ["a|b", "=t", "paper", "1"],
        ["50%", "[s]", "any epoch", "40"],
        ["50%", "[s]", "last epoch", "40"],
        ["50%", "[s]", "paper", "40"],
        ["50%", "=t", "-", "-"],
    ]
    assert rows[0][4:] == ["0.969 (0.969)", "0.500 (0.500)", rows[0][6], "98 %", "-"]
    assert rows[4][7] == "-"  # the scores do not depend on training
    assert rows[6][4:] == [*rows[6][4:6], "same", "-", "-"]
    caption = " ".join(lines[17:])
    assert "not to be worse than any other epoch by 0.01 or more" in caption
    assert "Intervals and tests cover other test examples, but not differences" in caption
    assert "A row of dashes: fewer than two epochs can be compared." in caption
    assert "Groups: 400 in, 400 out." in caption
    assert lines[-1] == "Note: a note"
    assert "by 0.1 or more" in rendered(results, "table", margin=0.1)


def test_an_answer_that_is_not_shown_says_so_and_with_how_many_groups_it_would():
    epochs = planted(np.random.default_rng(0), {0: 1.0, 1: 1.2, 2: 1.2}, n=30, common=0.5)
    text = rendered([result(e, x) for e, x in epochs.items()], "table")
    (line,) = [line for line in text.splitlines() if "any epoch" in line and "not shown" in line]
    assert line.split("not shown")[1].split()[:4] == ["-", "-", "-", "-"]
    assert "not shown: not even the last epoch" in text
    (line,) = [line for line in text.splitlines() if " last epoch  " in line]
    assert line.rstrip().endswith(" out")


def test_every_format_escapes_names(results):
    assert r"| a\|b  | \[s\]    |" in rendered(results, "markdown")
    latex = rendered(results, "latex")
    assert r"a\textbar{}b & {[}s{]}" in latex
    assert r"\begin{tabular}{l l l " in latex


def test_a_narrow_terminal_repeats_data_set_and_scorer(results):
    file = io.StringIO()
    console = Console(file=file, width=60, force_terminal=True, no_color=True, _environ={})
    text = rendered(results, "table", console=console)
    plain = re.sub(r"\x1b\[\d*m", "", text).splitlines()
    assert max(map(len, plain)) <= 60
    assert sum(line.startswith("out  scorer ") for line in plain) >= 2


def test_json_and_csv_hold_every_row(results):
    found = json.loads(rendered(results, "json"))
    assert found["suite"] == "paper"
    first, *_, last = found["epochs"]
    assert (first["rule"], first["epoch"], first["margin"]) == ("any", 1, 0.01)
    assert first["training_saved"] == 1 - 1 / 40
    assert first["difference_low"] <= first["difference"] <= first["difference_high"]
    assert {key for key, value in last.items() if value is None} == {
        *("rule", "epoch", "auroc", "ovl_scores", "difference", "difference_low"),
        *("difference_high", "training_saved", "times", "last_epoch", "auroc_last"),
        *("ovl_scores_last", "n_in", "n_out"),
    }
    rows = list(csv.DictReader(io.StringIO(rendered(results, "csv"))))
    assert [*rows[0], "along"] == list(first)
    assert [row["scorer"] for row in rows[::3]] == ["[s]", "'=t", "[s]", "'=t"]
    assert (rows[0]["epoch"], rows[-1]["epoch"]) == ("1", "")


def test_json_has_all_metrics_along_the_epochs():
    seeds = [(2, 0, 0.5), (2, 1, 0.7), (1, 0, 0.9)]
    results = [
        made_result(Cell("m", "i", "o", "s", epoch, 1, seed), auroc=auroc, ovl=ovl)
        for (epoch, seed, auroc), ovl in zip(seeds, (0.25, 0.75, None), strict=True)
    ]
    results.append(made_result(Cell("m", "i", "o", "s", 3, 1, 0), "failed"))
    (row,) = json.loads(rendered(results, "json"))["epochs"]
    assert [list(found) for found in row["along"]] == [["epoch", *Metrics._fields]] * 3
    assert [(x["epoch"], x["auroc"], x["ovl"], x["n_in"]) for x in row["along"]] == [
        (1, 0.9, None, 100),
        (2, pytest.approx(0.6), 0.5, 100),
        (3, None, None, None),
    ]


def test_no_results():
    assert rendered([], "table") == "Title\nThere are no results.\n"
    assert json.loads(rendered([], "json"))["epochs"] == []
    assert rendered([], "csv").startswith("model,in,out,scorer,group_size,seeds,")


def test_the_summary_of_a_scorer_has_medians_over_the_rows_with_an_early_epoch():
    rng = np.random.default_rng(4)
    flat = planted(rng, {1: 3.0, 8: 3.0}, n=400, common=0.999)
    rising = planted(rng, {1: 0.5, 8: 3.0}, n=400)
    later = planted(rng, {4: 3.0, 8: 3.0}, n=400, common=0.999)
    cases = {"flat": flat, "rising": rising, "later": later}
    results = [result(e, x, out=out) for out, case in cases.items() for e, x in case.items()]
    (found,), judged, places = early_enough(results, 5_000)
    assert (judged, places) == (3, 3)
    assert found == EarlyEnough("s", rows=3, shown=2, epoch=2.5, saved=np.median([7 / 8, 1 / 2]))
