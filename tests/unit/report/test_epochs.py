"""How early is enough: what is chosen, what is judged, and what the table says."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from harness.metrics.intervals import Z_95
from harness.metrics.paired import delong_difference
from harness.metrics.roc import auroc
from harness.report.epochs import SPLIT, EpochRow, epoch_tables
from harness.report.render.epochs import render_epochs
from harness.results import Cell, Metrics
from tests.made_results import made_result


def result(epoch, scores, *, scorer="s", out="o", seed=0, group_size=1, draw_seed=0, model="m"):
    cell = Cell(model, "i", out, scorer, epoch, group_size, seed)
    if scores is None:
        return made_result(cell, "failed", "boom")
    scores_in, scores_out = (np.asarray(side, dtype=float) for side in scores)
    return made_result(
        cell,
        "ok",
        auroc=auroc(scores_in, scores_out),
        auroc_se=0.01,
        scores_in=scores_in,
        scores_out=scores_out,
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


def verdict(epochs, **options):
    (table,) = epoch_tables([result(epoch, scores, **options) for epoch, scores in epochs.items()])
    (row,) = table.rows
    return row.verdict


def halves(scores, first):
    return tuple(side[first::2] for side in scores)


def test_even_groups_choose_and_odd_groups_judge():
    good, bad = ([0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]), ([4.0, 5, 6, 7], [0.0, 1, 2, 3])
    mixed = ([0.0, 5.0, 2.0, 7.0], [4.0, 1.0, 6.0, 3.0])  # even groups right, odd groups wrong
    assert verdict({1: bad, 2: mixed, 3: bad}).best_epoch == 2
    found = verdict({1: bad, 2: mixed, 3: good})
    assert (found.best_epoch, found.auroc_best, found.last_epoch, found.auroc_last) == (
        2,
        0.0,
        3,
        1.0,
    )
    assert found.difference == -1.0
    assert (found.n_in, found.n_out) == (2, 2)


def test_numbers_are_those_of_the_judging_half():
    epochs = planted(np.random.default_rng(3), {1: 0.5, 5: 1.0, 20: 0.8})
    found = verdict(epochs)
    assert found.best_epoch == max(epochs, key=lambda epoch: auroc(*halves(epochs[epoch], 0)))
    best, last = halves(epochs[found.best_epoch], 1), halves(epochs[20], 1)
    expected = delong_difference(*best, *last)
    assert found.auroc_best == auroc(*best)
    assert found.auroc_last == auroc(*last)
    assert found.difference == expected.difference
    assert (found.difference_low, found.difference_high) == pytest.approx(
        (expected.difference - Z_95 * expected.se, expected.difference + Z_95 * expected.se)
    )
    assert found.training_saved == 1 - found.earliest_epoch / 20


def test_choosing_and_judging_on_the_same_groups_is_biased_and_on_halves_it_is_not():
    """All epochs are equally good, so the true difference best - last is 0 whichever is chosen."""
    rng = np.random.default_rng(0)
    naive, naive_covered, ours, ours_covered = [], [], [], []
    for _ in range(300):
        epochs = planted(rng, dict.fromkeys(range(10), 1.0), n=80, common=0.5)
        best = max(epochs, key=lambda epoch: auroc(*epochs[epoch]))
        same = delong_difference(*epochs[best], *epochs[9])
        naive.append(same.difference)
        naive_covered.append(abs(same.difference) <= Z_95 * same.se)
        found = verdict(epochs)
        ours.append(found.difference)
        ours_covered.append(found.difference_low <= 0 <= found.difference_high)
    error = np.std(ours) / np.sqrt(len(ours))
    assert np.mean(naive) > 10 * error  # about 0.04 too much
    assert abs(np.mean(ours)) < 3 * error
    assert np.mean(naive_covered) < 0.90
    assert np.mean(ours_covered) == pytest.approx(0.95, abs=0.03)


def test_equal_epochs_are_rarely_told_apart_however_many_there_are():
    """Holm's correction: the first of twenty equal epochs is the earliest in 95 % of cases."""
    rng = np.random.default_rng(1)
    first = [
        verdict(planted(rng, dict.fromkeys(range(20), 1.0), common=0.5)).earliest_epoch == 0
        for _ in range(150)
    ]
    assert np.mean(first) > 0.93


def test_a_true_improvement_sets_the_earliest_epoch():
    shifts = {0: 0.0, 1: 0.5, 4: 2.0, 16: 2.0, 64: 2.0}
    found = [
        verdict(planted(np.random.default_rng(seed), shifts, n=400)).earliest_epoch
        for seed in range(10)
    ]
    assert found == [4] * 10


def test_an_epoch_better_than_the_chosen_one_is_early_enough():
    rng = np.random.default_rng(0)
    low, high = rng.normal(size=60), rng.normal(3, size=60)
    wrong, right = (high, low), (low, high)
    mixed = [np.where(np.arange(60) % 2, x, y) for x, y in zip(right, wrong, strict=True)]
    found = verdict({1: mixed, 2: [side[::-1] for side in mixed]})
    assert (found.best_epoch, found.earliest_epoch, found.auroc_best < 0.5) == (2, 1, True)


def test_of_equal_epochs_the_first_is_the_best():
    perfect = (np.arange(8.0), np.arange(8.0) + 10)
    found = verdict({3: perfect, 1: perfect, 2: perfect})
    assert (found.best_epoch, found.earliest_epoch, found.last_epoch) == (1, 1, 3)
    assert (found.difference, found.difference_low, found.difference_high) == (0.0, 0.0, 0.0)


def test_only_epochs_that_scored_the_same_groups_with_every_seed_are_compared():
    scores = planted(np.random.default_rng(0), dict.fromkeys(range(6), 1.0), n=20)
    results = [result(epoch, scores[epoch], seed=seed) for epoch in (0, 1, 4) for seed in (0, 1)]
    results += [result(2, scores[2]), result(2, None, seed=1)]
    results += [result(3, scores[3], seed=seed, draw_seed=1) for seed in (0, 1)]
    results += [result(5, [side[:10] for side in scores[5]]), result(6, None)]
    (table,) = epoch_tables(results)
    (row,) = table.rows
    assert (row.compared, row.left_out, row.verdict.last_epoch) == (3, 4, 4)
    assert table.seeds == 2


def test_several_seeds_are_averaged():
    rng = np.random.default_rng(5)
    seeds = [planted(rng, {1: 1.0, 2: 0.0}, n=40) for _ in range(3)]
    (table,) = epoch_tables(
        [result(e, scores, seed=k) for k, seed in enumerate(seeds) for e, scores in seed.items()]
    )
    found = table.rows[0].verdict
    pairs = [delong_difference(*halves(seed[1], 1), *halves(seed[2], 1)) for seed in seeds]
    assert found.best_epoch == 1
    assert found.difference == pytest.approx(np.mean([pair.difference for pair in pairs]))
    assert (found.difference_high - found.difference_low) / 2 / Z_95 == pytest.approx(
        np.mean([p.se for p in pairs])
    )


@pytest.mark.parametrize(
    "epochs",
    [
        {1: (np.arange(9.0), np.arange(9.0))},
        {1: None, 2: None},
        {1: (np.arange(3.0), np.arange(9.0)), 2: (np.arange(3.0), np.arange(9.0))},
    ],
    ids=["one epoch", "failed", "too few groups"],
)
def test_without_two_epochs_to_compare_there_is_no_verdict(epochs):
    assert verdict(epochs) is None


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
    assert replace(tables[0].rows[0], along=()) == EpochRow("p", "z", None, 0, 1)


@pytest.fixture
def results():
    """A rise, a fall, the same best as last, and a row without a verdict; hostile names."""
    low, high = np.arange(8.0), np.arange(8.0) + 10
    mixed = (np.arange(8.0), np.arange(8.0) + 0.5)
    epochs = {1: mixed, 10: (low, high), 40: mixed}
    return [
        *(result(epoch, scores, out="a|b", scorer="[s]") for epoch, scores in epochs.items()),
        *(result(epoch, (low, high), out="a|b", scorer="=t") for epoch in (1, 40)),
        *(result(epoch, epochs[50 - epoch], out="50%", scorer="[s]") for epoch in (10, 40)),
        result(40, None, out="50%", scorer="=t"),
    ]


def rendered(results, format, **options):
    return render_epochs(results, suite="paper", title="Title", format=format, **options)


def test_the_words_of_the_table(results):
    lines = rendered(results, "table").splitlines()
    assert lines[2] == "How early is enough: m, in-distribution i, group size 1"
    assert [line.split("  ")[0] for line in lines[4:5]] == ["out"]
    rows = [[cell.strip() for cell in line.split("  ") if cell] for line in lines[6:10]]
    assert rows == [
        ["a|b", "[s]", "10", "1", "40", "1.000", "+0.375 [-0.072, +0.822]", "98 %"],
        ["a|b", "=t", "1", "1", "40", "1.000", "+0.000 [+0.000, +0.000]", "98 %"],
        ["50%", "[s]", "40", "10", "40", "1.000", "same", "75 %"],
        ["50%", "=t", "-", "-", "-", "-", "-", "-"],
    ]
    caption = " ".join(lines[11:])
    assert "on half of the groups on each side (even-numbered groups); everything" in caption
    assert "Holm-corrected over the epochs before the best" in caption
    assert "both epochs separate perfectly" in caption
    assert "over all rows: 1 epochs without scores for the same groups" in caption
    assert "A dash means that fewer than two epochs can be compared." in caption
    assert "Judging groups: 4 in, 4 out." in caption
    assert lines[-1] == "Note: a note"


def test_every_format_escapes_names(results):
    assert r"| a\|b  | \[s\]    |" in rendered(results, "markdown")
    latex = rendered(results, "latex")
    assert r"a\textbar{}b & {[}s{]}" in latex
    assert r"\begin{tabular}{llrrrrrr}" in latex


def test_a_narrow_terminal_repeats_data_set_and_scorer(results):
    file = io.StringIO()
    console = Console(file=file, width=60, force_terminal=True, no_color=True, _environ={})
    text = rendered(results, "table", console=console)
    plain = re.sub(r"\x1b\[\d*m", "", text).splitlines()
    assert max(map(len, plain)) <= 60
    assert sum(line.startswith("out  scorer ") for line in plain) == 2


def test_json_and_csv_hold_every_row(results):
    found = json.loads(rendered(results, "json"))
    assert (found["suite"], found["split"]) == ("paper", SPLIT)
    first, *_, last = found["epochs"]
    assert first["best_epoch"] == 10
    assert first["training_saved"] == 1 - 1 / 40
    assert first["difference_low"] < first["difference"] < first["difference_high"]
    assert {key for key, value in last.items() if value is None} == {
        *("best_epoch", "earliest_epoch", "last_epoch", "auroc_best", "auroc_last"),
        *("difference", "difference_low", "difference_high", "training_saved", "n_in", "n_out"),
    }
    rows = list(csv.DictReader(io.StringIO(rendered(results, "csv"))))
    assert [*rows[0], "along"] == list(first)
    assert [row["scorer"] for row in rows] == ["[s]", "'=t", "[s]", "'=t"]
    assert (rows[0]["best_epoch"], rows[3]["best_epoch"]) == ("10", "")


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
        (1, 0.9, None, 1),
        (2, pytest.approx(0.6), 0.5, 1),
        (3, None, None, None),
    ]


def test_no_results():
    assert rendered([], "table") == "Title\nThere are no results.\n"
    assert json.loads(rendered([], "json"))["epochs"] == []
    assert rendered([], "csv").startswith("model,in,out,scorer,group_size,seeds,")
