"""The tables as data: order, averages, marks, reasons."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.metrics.estimates import Estimate, estimate
from harness.report.tables import Average, Failure, TableCell, auroc_tables
from harness.results import Cell
from tests.made_results import estimated, made_result


def result(scorer="s", out="o", epoch=1, seed=0, auroc=None, se=0.01, scores=None, **values):
    """One result: with `auroc`, or the AUROC of `scores`, or `status="failed"`."""
    cell = Cell("m", "i", out, scorer, epoch, 1, seed)
    if scores is not None:
        found = estimated(*scores)
        auroc, se = found.auroc, found.se
        values |= {"scores_in": scores[0], "scores_out": scores[1]}
    if auroc is not None:
        sizes = (len(side) for side in scores) if scores is not None else (100, 100)
        values = dict(zip(("n_in", "n_out"), sizes, strict=True)) | values
    values = {"status": "ok" if auroc is not None else "failed"} | values
    return made_result(cell, auroc=auroc, auroc_se=se if auroc is not None else None, **values)


def normal(shift, n=200, noise=0.0):
    """Scores of the same groups by better and worse scorers: a common part, and noise."""
    common, own = np.random.default_rng(0), np.random.default_rng(1)
    sides = common.normal(size=n), common.normal(shift, size=n)
    return tuple(side + noise * own.normal(size=n) for side in sides)


def marks(results, column=0):
    (table,) = auroc_tables(results)
    return [row.cells[column].mark for row in table.rows]


KNOWN = Estimate(0.7, 0.01, 0.0, None, 0.7, 0.7)
"""The error of `result(auroc=0.7)`."""


def test_one_table_per_model_in_data_set_and_group_size_in_order_of_occurrence():
    cells = [("b", "x", 1), ("a", "x", 1), ("b", "y", 1), ("b", "x", 4), ("b", "x", 1)]
    results = [
        made_result(Cell(model, data, f"o{i}", "s", 1, size, 0), "ok", auroc=0.5)
        for i, (model, data, size) in enumerate(cells)
    ]
    tables = auroc_tables(results)
    assert [(t.model, t.in_dataset, t.group_size) for t in tables] == cells[:4]
    assert tables[0].out_datasets == ("o0", "o4")


def test_no_results_no_tables():
    assert auroc_tables([]) == []


def test_scorers_and_columns_keep_their_order_and_epochs_ascend():
    results = [
        result("z", "q", 20, auroc=0.5),
        result("a", "p", 10, auroc=0.6),
        result("z", "p", 3, auroc=0.7),
        result("a", "q", 2, auroc=0.8),
    ]
    (table,) = auroc_tables(results)
    assert table.out_datasets == ("q", "p")
    assert [(row.scorer, row.epoch) for row in table.rows] == [
        ("z", 3), ("z", 20), ("a", 2), ("a", 10)
    ]  # fmt: skip
    assert table.rows[0].cells == (
        TableCell(None),
        TableCell("ok", Average(0.7, None, 1), KNOWN, "best"),
    )


def test_of_two_results_for_a_cell_the_later_counts():
    (table,) = auroc_tables([result(auroc=0.5), result(auroc=0.8)])
    assert table.rows[0].cells[0].auroc == Average(0.8, None, 1)


@pytest.mark.parametrize("status", ["failed", "unsupported", "missing_data"])
def test_a_cell_without_a_number_has_its_status(status):
    stray = result(auroc=0.9, status=status)  # the number of a cell that is not ok is not read
    (table,) = auroc_tables([stray])
    assert table.rows[0].cells == (TableCell(status),)


@pytest.mark.parametrize("auroc", [None, math.nan, math.inf])
def test_ok_without_a_finite_number_is_failed(auroc):
    (table,) = auroc_tables([result(auroc=auroc, status="ok", message="odd")])
    assert table.rows[0].cells == (TableCell("failed"),)
    assert table.failures == (Failure("failed", "odd", 1),)


def test_seeds_are_averaged_and_the_error_includes_their_spread():
    seeds = [result(seed=k, scores=normal(shift)) for k, shift in [(0, 1.5), (5, 1.0)]]
    (table,) = auroc_tables(seeds)
    cell = table.rows[0].cells[0]
    aurocs = [x.metrics.auroc for x in seeds]
    assert table.seeds == 2
    assert cell.auroc == Average(
        pytest.approx(np.mean(aurocs)), pytest.approx(np.std(aurocs, ddof=1)), 2
    )
    assert cell.estimate == estimate(seeds)
    assert cell.estimate.se_training > 0.04


def test_without_scores_the_error_of_a_mean_is_unknown():
    (table,) = auroc_tables([result(auroc=0.8), result(seed=1, auroc=0.9, se=0.03)])
    assert table.rows[0].cells[0].estimate is None


def test_a_failed_seed_leaves_the_mean_of_the_others_and_its_reason():
    (table,) = auroc_tables([result(auroc=0.8), result(seed=1, message="boom")])
    known = replace(KNOWN, auroc=0.8, low=0.8, high=0.8)
    assert table.rows[0].cells == (TableCell("ok", Average(0.8, None, 1), known, "best"),)
    assert table.seeds == 2
    assert table.failures == (Failure("failed", "boom", 1),)


def test_a_seed_that_failed_is_shown_before_one_that_does_not_apply():
    (table,) = auroc_tables([result(status="unsupported"), result(seed=1, status="failed")])
    assert table.rows[0].cells == (TableCell("failed"),)


def test_reasons_are_distinct_and_counted():
    results = [result(out=str(i), message="boom") for i in range(3)]
    results += [result(out="4", status="unsupported", message="boom"), result(out="5", auroc=0.5)]
    (table,) = auroc_tables(results)
    assert table.failures == (Failure("failed", "boom", 3), Failure("unsupported", "boom", 1))


def test_notes_of_the_provenance_stand_once():
    results = [
        result(out="a", auroc=0.5, provenance={"notes": ["limit 10", "overlap"], "fit": "f"}),
        result(out="b", provenance={"notes": ["overlap", "other"]}),
        result(out="c", auroc=0.5),
    ]
    assert auroc_tables(results)[0].notes == ("limit 10", "overlap", "other")


def test_bits_per_dim_is_that_of_the_epoch_whichever_scorer_knows_it():
    results = [
        result("a", seed=0),
        result("b", seed=0, auroc=0.5, bits_per_dim_in=3.0),
        result("b", "p", seed=0, auroc=0.5, bits_per_dim_in=3.0),
        result("b", seed=1, auroc=0.5, bits_per_dim_in=4.0),
        result("a", epoch=2, auroc=0.5, bits_per_dim_in=math.nan),
    ]
    (table,) = auroc_tables(results)
    known = Average(3.5, pytest.approx(math.sqrt(0.5)), 2)
    assert [row.bits_per_dim for row in table.rows] == [known, None, known]


def test_sizes_are_those_that_occur():
    results = [
        result(out="a", auroc=0.5, n_in=50, n_out=40),
        result("t", out="a", auroc=0.5, n_in=50, n_out=30),
        result(out="b"),
    ]
    (table,) = auroc_tables(results)
    assert (table.n_in, table.n_out) == ((50,), ((30, 40), ()))


def test_best_and_what_cannot_be_told_from_it():
    results = [
        result("far", scores=normal(0.2)),
        result("near", scores=normal(1.5, noise=0.2)),
        result("best", scores=normal(1.5)),
        result("failed"),
        # within the interval of the best, and yet told apart by the paired test
        result("noisy", scores=normal(1.5, noise=0.9)),
    ]
    (table,) = auroc_tables(results)
    aurocs = {row.scorer: row.cells[0].auroc.mean for row in table.rows if row.cells[0].auroc}
    assert 0 < aurocs["best"] - aurocs["near"] < 0.005
    assert marks(results) == ["worse", "tied", "best", None, "worse"]


def test_of_many_scorers_one_must_be_clearer_worse():
    """The best was chosen on the same groups: the test allows for all pairs of scorers."""
    pair = [result("a", scores=normal(1.5)), result("b", scores=normal(1.5, noise=0.6))]
    assert marks(pair) == ["best", "worse"]
    others = [result(f"o{k}", scores=normal(1.5, noise=0.3)) for k in range(20)]
    assert marks([*pair, *others])[:2] == ["best", "tied"]


def test_equal_numbers_are_all_the_best():
    scores = normal(1.0)
    assert marks([result("a", scores=scores), result("b", scores=scores)]) == ["best", "best"]


def test_perfect_separation_against_less():
    low, high = np.arange(12.0), np.arange(12.0) + 20
    results = [result("a", scores=(low, low + 20)), result("b", scores=(low, high * 2))]
    assert marks([*results, result("flat", scores=(low * 0, low * 0))]) == [
        "best", "best", "worse"
    ]  # fmt: skip


def test_with_fewer_than_ten_groups_nothing_is_tested():
    low = np.arange(9.0)
    results = [result("a", scores=(low, low + 20)), result("b", scores=(low, low - 20))]
    assert marks(results) == ["best", "untested"]


def test_without_scores_of_the_same_groups_nothing_is_tied():
    scores, fewer = normal(1.0), normal(1.0, n=199)
    same = result("a", scores=scores)
    less = same.metrics.auroc - 1e-3
    none = result("b", auroc=less)
    others = [
        none,
        replace(none, scores_in=scores[0]),
        replace(none, scores_in=fewer[0], scores_out=scores[1]),
        replace(none, scores_in=scores[0], scores_out=fewer[1]),
    ]
    for other in others:
        assert marks([same, other]) == ["best", "untested"]
    for bare in (replace(same, scores_in=None), replace(same, scores_out=None)):
        assert marks([bare, result("b", scores=normal(0.9))]) == ["best", "untested"]


def test_far_numbers_are_told_apart_without_scores():
    # 1.96 times the sum of the errors is the widest that the difference of the two can vary
    assert marks([result("a", auroc=0.9), result("b", auroc=0.86)]) == ["best", "worse"]
    assert marks([result("a", auroc=0.9), result("b", auroc=0.87)]) == ["best", "untested"]


def test_several_seeds_are_compared_by_their_mean_difference_and_spread():
    # in one seed a is a little better, in the other b: neither scorer is told from the other,
    # though each seed tells them apart
    good, bad = normal(1.5), normal(1.5, noise=0.6)
    split = [
        result("a", scores=good),
        result("b", scores=bad),
        result("a", seed=1, scores=bad),
        result("b", seed=1, scores=normal(1.5, noise=0.1)),
    ]
    assert marks(split[:2]) == ["best", "worse"]
    assert marks(split) == ["tied", "best"]
    same = [*split[:2], result("a", seed=1, scores=good), result("b", seed=1, scores=bad)]
    assert marks(same) == ["best", "worse"]


def test_twice_the_seeds_do_not_halve_the_error():
    # the difference has p = 0.056 in each seed; four independent seeds would give p < 0.001
    good, bad = normal(1.5), normal(1.5, noise=0.5)
    one = [result("a", scores=good), result("b", scores=bad)]
    assert marks(one) == ["best", "tied"]
    four = [result(s, seed=k, scores=x) for k in range(4) for s, x in (("a", good), ("b", bad))]
    assert marks(four) == ["best", "tied"]


def test_a_cell_that_lacks_seeds_is_not_compared():
    results = [
        result("lucky", scores=normal(3.0)),
        result("lucky", seed=1),
        result("whole", scores=normal(1.0)),
        result("whole", seed=1, scores=normal(1.0)),
    ]
    assert marks(results) == ["untested", "best"]
