"""What won and where to look next, in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.metrics.paired import compared
from harness.report.common_cells import compare
from harness.report.next_step import next_look
from harness.report.summary import winner as winner_of
from harness.results import Beaten, Cell
from tests.made_results import made_result, scored_result

N = 60
HOW = "(paired tests for the given trainings, Holm-corrected)"
NONE = f"no difference is significant {HOW}"


def scored(scorer, shift, out="svhn", *, seed=1, epoch=4):
    """Scores of one random order of 60 groups a side for every scorer, OOD so much higher."""
    noise = np.random.default_rng(seed).normal(size=(2, N))
    scores_in, scores_out = noise[0], noise[1] + shift
    return scored_result(Cell("glow", "cifar10", out, scorer, epoch, 1, 0), scores_in, scores_out)


def bare(scorer, auroc, out="svhn", *, low=None, high=None, beaten_by=(), message="", **where):
    where = {"epoch": 4, "group_size": 1, "seed": 0} | where
    cell = Cell("glow", "cifar10", out, scorer, **where)
    status = "failed" if auroc is None else "ok"
    interval = {"auroc_low": low, "auroc_high": high, "beaten_by": beaten_by}
    return made_result(cell, status, message, auroc=auroc, **interval)


def winner(results, baselines=()):
    comparison = compare(results, baselines)
    return [] if comparison is None else winner_of(comparison, baselines)


def test_the_lead_and_in_how_many_cells_it_is_told_apart():
    results = [
        scored("a", 1.5, "svhn"),
        scored("a", 0.30, "noise"),
        scored("a", 0.0, "flipped"),
        scored("b", 0.0, "svhn"),
        scored("b", 0.31, "noise", seed=2),
        scored("b", 0.5, "flipped"),
    ]
    means = {
        name: np.mean([x.metrics.auroc for x in results if x.cell.scorer == name])
        for name in ("a", "b")
    }
    assert winner(results) == [
        f"a has the highest mean AUROC: {means['a']:.3f} over 3 cells, "
        f"{means['a'] - means['b']:.3f} above b; cell by cell, it is significantly better in 1, "
        f"worse in 1, and not significantly different in 1 {HOW}."
    ]


def test_a_lead_that_no_cell_bears_out_is_not_overclaimed():
    (text,) = winner([scored("a", 0.301), scored("b", 0.30, seed=2)])
    assert text.endswith(f"; cell by cell, {NONE}.")


def test_equal_means_are_said_to_be_equal():
    (text,) = winner([scored("a", 0.3), scored("b", 0.3)])
    assert f", equal to b; cell by cell, {NONE}." in text


def test_some_cells_without_scores_are_not_counted():
    results = [
        scored("a", 2.0),
        bare("a", 0.9, "noise"),
        scored("b", 0.0),
        bare("b", 0.8, "noise"),
    ]
    (text,) = winner(results)
    assert "; among 1 tested cell, it is significantly better in 1, worse in 0, and not " in text


def test_holm_asks_for_more_where_there_are_more_cells():
    """A difference that one test calls significant is not, among twenty."""
    one = [scored("a", 0.30), scored("b", 0.0, seed=2)]
    near = [
        (scored("a", 0.3, f"o{i}", seed=i), scored("b", 0.3, f"o{i}", seed=i)) for i in range(19)
    ]
    a, b = one
    assert 0.05 / 20 < compared([a], [b]).p_value < 0.05
    assert "better in 1" in winner(one)[0]
    many = [result for pair in near for result in pair]
    assert NONE in winner([*one, *many])[0]


def test_of_very_many_cells_some_spread_over_all_are_tested():
    a, b = scored("a", 2.0), scored("b", 0.0)
    results = [
        replace(item, cell=item.cell._replace(epoch=epoch))
        for epoch in range(4001)
        for item in (a, b)
    ]
    (text,) = winner(results)
    assert "; among 1,334 tested cells, it is significantly better in 1,334, worse in 0," in text


def test_the_means_are_over_common_cells():
    """To be asked for in one cell more is neither an advantage nor a disadvantage."""
    for more in (0.1, 1.0):
        results = [bare("a", 0.7), bare("b", 0.6), bare("b", more, "noise")]
        assert winner(results) == [
            "a has the highest mean AUROC: 0.700 over 1 of 2 cells, those with a number for both "
            "compared scorers, 0.100 above b; the significance of the lead could not be tested."
        ]


@pytest.mark.parametrize("status", ["failed", "missing_data", "unsupported"])
def test_a_scorer_does_not_win_by_failing(status):
    """A failure counts as if the scorer could lose the whole cell; what does not apply is none."""
    easy = [bare("a", 0.2, "easy"), bare("lucky", 1.0, "easy")]
    hard = [bare("a", 0.2, "hard"), replace(bare("lucky", None, "hard"), status=status)]
    (text,) = winner([*easy, *hard])
    over = "over 1 of 2 cells, those with a number for both compared scorers"
    if status == "unsupported":
        assert text.startswith(f"lucky has the highest mean AUROC: 1.000 {over}, 0.800 above a")
    else:
        assert text == (
            "No scorer is shown to have the highest mean AUROC: lucky is 0.800 above a "
            f"{over}, but has no number in 1 other."
        )
    (text,) = winner([*easy, bare("a", 0.2), bare("lucky", 0.9), *hard])
    assert text.startswith("lucky has the highest mean AUROC: 0.950 over 2 of 3 cells")


def test_a_failure_of_a_scorer_that_is_not_first_changes_nothing():
    results = [bare("a", 0.6), bare("b", 0.7), bare("a", None, "noise"), bare("b", 0.1, "noise")]
    assert winner(results)[0].startswith("b has the highest mean AUROC: 0.700 over 1 of 2 cells")


def test_scorers_with_few_common_cells_are_not_compared():
    cells = [
        bare(name, auroc, out)
        for out in ("x", "y", "z")
        for name, auroc in (("a", 0.6), ("b", 0.5), ("c", 0.9), ("d", 0.9))
        if name in "ab" or out == "x"
    ]
    first, apart = winner(cells)
    assert first.startswith("a has the highest mean AUROC: 0.600 over 3 cells, 0.100 above b;")
    assert apart == "Not compared, for want of common cells: c, d."


def test_without_common_cells_nothing_is_said():
    assert winner([bare("a", 0.9), bare("b", 0.1, "noise")]) == []


def test_a_trivial_baseline_is_called_so_and_loses_a_tie():
    results = [bare("dark", 0.8), bare("a", 0.8), bare("size", 0.5)]
    baselines = ("dark", "size")
    assert winner(results, baselines)[0].startswith(
        "a has the highest mean AUROC: 0.800 over 1 cell, equal to dark (a trivial baseline);"
    )
    assert winner([results[0], results[2]], baselines)[0].startswith(
        "dark (a trivial baseline) has the highest mean AUROC: 0.800 over 1 cell, 0.300 above "
        "size (a trivial baseline);"
    )


@pytest.mark.parametrize("results", [[], [bare("a", 0.5)], [bare("a", 0.5), bare("b", None)]])
def test_one_scorer_or_none_wins_nothing(results):
    assert winner(results) == []


def test_first_look_at_what_failed():
    results = [
        bare("a", None, message="no luck"),
        bare("b", None, message="memory"),
        bare("c", None, message="memory"),
        bare("d", 0.2, low=0.1, high=0.3),
    ]
    assert next_look(results) == ["Look next at 2 cells without a number (failed: memory)."]


def test_then_where_a_baseline_beats_a_scorer_beyond_error():
    results = [
        bare("a", 0.6, low=0.1, high=0.9, beaten_by=(Beaten("dark", 0.3, True),)),
        bare("a", 0.6, "noise", seed=1, beaten_by=(Beaten("dark", 0.31, True),)),
        bare("a", 0.5, "flipped", beaten_by=(Beaten("dark", 0.4, False),)),
        bare("a", 0.5, "inverted", beaten_by=(Beaten("dark", 0.4, None),)),
    ]
    assert next_look(results) == [
        "Look next at glow at epoch 4, cifar10 against noise, group size 1, seed 1: the trivial "
        "baseline dark is 0.310 above a."
    ]


def test_what_is_unsupported_cannot_be_mended():
    results = [
        replace(bare("a", None), status="unsupported"),
        bare("b", 0.8, low=0.7, high=0.9),
    ]
    assert "the least certain number" in next_look(results)[0]


def test_a_baseline_above_every_scorer_matters_more_than_one_above_the_worst():
    far, near = (Beaten("dark", 0.5, True),), (Beaten("dark", 0.1, True),)
    results = [
        bare("a", 0.3, beaten_by=far),
        bare("b", 0.9),
        bare("dark", 0.8),
        bare("a", 0.6, "noise", beaten_by=near),
        bare("b", 0.5, "noise", beaten_by=(Beaten("dark", 0.2, True),)),
        bare("dark", 0.7, "noise"),
    ]
    assert next_look(results) == [
        "Look next at glow at epoch 4, cifar10 against noise, group size 1: the trivial baseline "
        "dark is 0.100 above every scorer, the best of which is a."
    ]
    assert next_look(results[:3]) == [
        "Look next at glow at epoch 4, cifar10 against svhn, group size 1: the trivial baseline "
        "dark is 0.500 above a."
    ]


def test_then_at_what_no_scorer_tells_apart():
    results = [
        bare("a", 0.55, low=0.45, high=0.65),
        bare("b", 0.52, low=0.49, high=0.55),
        bare("a", 0.50, "noise", low=0.4, high=0.6),
        bare("b", 0.9, "noise", low=0.8, high=0.95, epoch=9),
        bare("a", 0.1, "flipped", low=0.05, high=0.15),
        bare("b", 0.50, "flipped", low=0.495, high=0.505),
    ]
    assert next_look(results) == [
        "Look next at glow, cifar10 against svhn, group size 1: none of the 2 scorers there is "
        "above chance beyond error at any epoch; the closest is b at epoch 4 with 0.520."
    ]


def test_then_where_scorers_disagree_most():
    results = [
        bare("a", 0.70, low=0.65, high=0.75),
        bare("b", 0.20, low=0.05, high=0.35),
        bare("a", 0.80, "noise", low=0.78, high=0.82),
        bare("b", 0.40, "noise", low=0.38, high=0.42),
        bare("b", 0.99, "noise", low=0.98, high=1.0, epoch=9),
    ]
    assert next_look(results) == [
        "Look next at glow at epoch 4, cifar10 against noise, group size 1, where the scorers "
        "disagree most: 0.800 by a, 0.400 by b."
    ]


def test_last_the_widest_interval():
    results = [
        bare("a", 0.8, low=0.7, high=0.9),
        bare("b", 0.8, low=0.6, high=0.9),
        bare("b", 0.9, "noise", low=0.88, high=0.92),
    ]
    assert next_look(results) == [
        "Look next at glow at epoch 4, cifar10 against svhn, group size 1, b, the least "
        "certain number: 0.800 with a 95 % interval from 0.600 to 0.900."
    ]


@pytest.mark.parametrize("results", [[], [bare("a", 0.8)], [bare("a", 0.8, low=0.8, high=0.8)]])
def test_without_errors_there_is_nothing_to_say(results):
    assert next_look(results) == []
