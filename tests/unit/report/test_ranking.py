"""The scorers and models ranked: by hand, what is left out and said, and every format."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest

from harness.plan.costs import Cost
from harness.report.ranking import Density, Unranked, densities, ranking_table
from harness.report.render.ranking import render_model_ranking, render_ranking
from harness.results import Cell
from tests.made_results import made_result

# By OOD set and epoch. Means over the epochs are .8, .7, .5 and .6, .9, .6.
AUROCS = {
    ("x", 1): {"a": 0.9, "b": 0.6, "c": 0.5},
    ("x", 2): {"a": 0.7, "b": 0.8, "c": 0.5},
    ("y", 1): {"a": 0.6, "b": 0.9, "c": 0.6},
}
COSTS = {
    "a": Cost(0.0123456, 0.0, 0),
    "b": Cost(12.0, 1234.4, 3),
    "c": Cost(None, None, 1),
    "d": Cost(0.5, 2.25, 1),
}


def result(scorer, auroc, out="x", epoch=1, status="ok"):
    cell = Cell("m", "i", out, scorer, epoch, 1, 0)
    notes = ["a note"] if scorer == "a" else []
    return made_result(cell, status, auroc=auroc, provenance={"notes": notes})


def results(aurocs=AUROCS):
    """A number, or the status of a result without one."""
    return [
        result(scorer, None, *where, value)
        if isinstance(value, str)
        else result(scorer, value, *where)
        for where, found in aurocs.items()
        for scorer, value in found.items()
    ]


def rendered(format="table", aurocs=AUROCS):
    return render_ranking(results(aurocs), COSTS, suite="s", title="A *title*", format=format)


def test_ranks_by_hand():
    ranked = ranking_table(results()).ranked
    assert ranked.mean_ranks == {"b": 1.5, "a": 1.75, "c": 2.75}
    assert list(ranked.mean_ranks) == ["b", "a", "c"]
    assert ranked.means == pytest.approx({"a": 0.7, "b": 0.8, "c": 0.55})
    assert (ranked.pairs, ranked.blocks) == (2, 3)
    assert ranked.critical_difference == pytest.approx(2.343, abs=1e-3)  # q √(3·4 / (6·2))
    assert ranked.friedman[0] == pytest.approx(1.75)  # 12·2/(3·4) (1.5² + 1.75² + 2.75² - 12)
    assert ranked.friedman[1] == pytest.approx(math.exp(-1.75 / 2))


def test_a_block_without_one_of_the_scorers_is_left_out_for_all():
    aurocs = {**AUROCS, ("x", 2): {"a": 0.7, "b": "failed", "c": 0.5}}
    table = ranking_table(results(aurocs))
    assert table.ranked.means == pytest.approx({"a": 0.75, "b": 0.75, "c": 0.55})
    assert table.ranked.mean_ranks == {"a": 1.75, "b": 1.5, "c": 2.75}
    assert (table.ranked.blocks, table.blocks) == (2, 3)
    assert table.numbers == {"a": 3, "b": 2, "c": 3}
    assert table.apart == {}


def test_scorers_that_would_leave_too_few_blocks_are_listed_apart():
    aurocs = {where: dict(found) for where, found in AUROCS.items()}
    aurocs["x", 1] |= {"d": 0.4, "e": "unsupported"}
    aurocs["x", 2] |= {"d": "failed", "e": "unsupported"}
    table = ranking_table(results(aurocs))
    assert table.ranked == ranking_table(results()).ranked
    assert table.apart == {
        "d": Unranked(0.4, {"failed": 1, "absent": 1}),
        "e": Unranked(None, {"unsupported": 2, "absent": 1}),
    }
    assert table.numbers == {"a": 3, "b": 3, "c": 3, "d": 1, "e": 0}
    assert "2 n/a, 1 absent" in rendered("markdown", aurocs)


def test_one_pair_ranks_but_tells_nothing_apart():
    aurocs = {("x", 1): AUROCS["x", 1]}
    ranked = ranking_table(results(aurocs)).ranked
    assert ranked.mean_ranks == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert (ranked.critical_difference, ranked.friedman) == (None, None)
    assert "with a single pair, nothing can be tested" in rendered(aurocs=aurocs)


def test_without_a_number_nothing_is_ranked():
    table = ranking_table(results({("x", 1): {"a": "failed"}}))
    assert table.ranked is None
    assert table.apart == {"a": Unranked(None, {})}
    text = rendered(aurocs={("x", 1): {"a": "failed"}})
    assert "Scorers without a rank" in text
    assert "Nothing is ranked: a ranking needs two scorers" in text


def test_a_block_in_which_no_scorer_has_a_number_does_not_count():
    """Two of three OOD sets are missing; five scorers have a number against the third."""
    lacking = dict.fromkeys("abcde", "missing_data")
    there = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.5}
    table = ranking_table(results({("x", 1): lacking, ("y", 1): lacking, ("z", 1): there}))
    assert table.ranked.mean_ranks == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
    assert (table.apart, table.blocks) == ({}, 1)
    assert table.numbers == dict.fromkeys("abcde", 1)


def test_equally_available_scorers_are_treated_alike():
    """Two scorers that share a third of the blocks with the others are both left out."""
    aurocs = {(out, 1): {"a": 0.6, "b": 0.7} for out in "xyz"}
    aurocs["x", 1] |= {"c": 0.8, "d": 0.9}
    table = ranking_table(results(aurocs))
    assert table.ranked.mean_ranks == {"b": 1.0, "a": 2.0}
    assert list(table.apart) == ["c", "d"]
    table = ranking_table(results({(out, 1): {out: 0.5} for out in "xyz"}))
    assert (table.ranked, list(table.apart)) == (None, ["x", "y", "z"])


def test_a_scorer_alone_in_its_blocks_takes_no_rank_from_others():
    aurocs = {("x", epoch): {"a": 0.5} for epoch in range(9)} | {("y", 1): {"b": 0.7, "a": 0.6}}
    table = ranking_table(results(aurocs))
    assert table.ranked.mean_ranks == {"b": 1.0, "a": 2.0}
    assert (table.ranked.blocks, table.blocks) == (1, 10)


def of_model(model, scorer, auroc, bits, likelihood="exact", **where):
    cell = Cell(model, "i", "x", scorer, 1, 1, 0)._replace(**where)
    provenance = {"likelihood": likelihood}
    return made_result(cell, "ok", auroc=auroc, bits_per_dim_in=bits, provenance=provenance)


MODELS = [
    of_model("flow", "a", 0.6, 3.0),
    of_model("flow", "b", 0.6, 3.0),
    of_model("flow", "c", 1.0, 3.0),
    of_model("net", "a", 0.7, 2.0),
    of_model("net", "b", 0.6, 2.0),
    of_model("vae", "a", 0.8, 1.0, "lower_bound"),
    of_model("vae", "b", 0.1, 1.0, "lower_bound"),
    of_model("flow", "a", 0.4, 5.0, out_dataset="y", epoch=2),
    of_model("net", "a", 0.3, 7.0, out_dataset="y", epoch=2),
    of_model("vae", "a", 0.2, 1.0, "lower_bound", out_dataset="y", epoch=2),
    of_model("far", "a", 0.9, 0.5, in_dataset="j"),
]


def test_models_are_ranked_over_blocks_of_a_scorer():
    table = ranking_table(MODELS, "model")
    # against x, over a and b: .6, .65, .45; against y: .4, .3, .2
    assert table.ranked.mean_ranks == {"flow": 1.5, "net": 1.5, "vae": 3.0}
    assert table.ranked.means == pytest.approx({"flow": 0.5, "net": 0.475, "vae": 0.325})
    assert table.apart == {"far": Unranked(0.9, {"absent": 4})}
    assert (table.ranked.blocks, table.blocks) == (3, 5)
    assert table.numbers == {"flow": 4, "net": 3, "vae": 3, "far": 1}


def test_bits_per_dimension_are_ranked_within_a_kind_of_likelihood():
    """Of the exact models those with common epochs; the bound is the only one of its kind."""
    assert densities(MODELS) == {
        "flow": Density("exact", 4.0, 1.0, 2),
        "net": Density("exact", 4.5, 2.0, 2),
        "vae": Density("lower_bound", 1.0, None, 0),
        "far": Density("exact", None, None, 2),
    }


def test_the_table_of_models():
    text = render_model_ranking(MODELS, suite="s", title="t", format="table")
    rows = [line.split() for line in text.splitlines()]
    assert ["flow", "1.50*", "0.500", "4/5", "4.000", "1.00", "of", "2"] in rows
    assert ["vae", "3.00~", "0.325", "3/5", "≤1.000", "-"] in rows
    assert ["far", "0.900", "1/5", "4", "absent", "-", "-"] in rows
    assert "≤ is an upper bound of bits/dim" in text
    assert "Without a sign: from an exact log-probability." in text
    assert "unnormalized" not in text
    without = [of_model("ebm", "a", 0.5, None, "unnormalized")]
    text = render_model_ranking([*MODELS, *without], suite="s", title="t", format="table")
    assert "There is no bits/dim for an unnormalized log-probability (ebm)." in text
    found = json.loads(render_model_ranking(MODELS, suite="s", title="t", format="json"))
    assert [row["model"] for row in found["ranking"]["models"]] == ["flow", "net", "vae"]
    assert found["bits_per_dim"]["net"]["bits_per_dim_rank"] == 2.0
    text = render_model_ranking(MODELS, suite="s", title="t", format="csv")
    assert list(csv.DictReader(io.StringIO(text)))[2]["likelihood"] == "lower_bound"


def test_the_later_of_two_results_counts():
    later = [*results(), result("c", 0.99, "y")]
    assert ranking_table(later).ranked.mean_ranks == {"a": 2.0, "b": 2.0, "c": 2.0}


def test_the_table_of_a_terminal():
    aurocs = {**AUROCS, ("x", 1): {**AUROCS["x", 1], "d": 0.4}}
    lines = rendered(aurocs=aurocs).splitlines()
    assert lines[:12] == [
        "A *title*",
        "",
        "Scorers by mean rank",
        "",
        "scorer  mean rank  mean AUROC  numbers  s/example  extra training  extra passes",
        "───────────────────────────────────────────────────────────────────────────────",
        "b           1.50*       0.800      3/3         12         1,234 s             3",
        "a           1.75~       0.700      3/3      0.012             0 s             0",
        "c           2.75~       0.550      3/3          -               -             1",
        "",
        "Mean rank over 2 pairs of ID and OOD set, 1 is best: scorers are ranked by mean "
        "AUROC in each pair, over models, epochs, group sizes and seeds; mean AUROC is the mean "
        "over the pairs.",
        "Ranked over the 3 of 3 blocks (model, data sets, epoch, group size, seed) in which all "
        "ranked scorers have a number.",
    ]
    assert (
        "* is the best; ~ does not differ significantly from the best: "
        "mean ranks differ if at least 2.34 apart"
    ) in lines[12]
    assert "p = 0.42" in lines[12]
    assert "Note: a note" in lines
    at = lines.index("Scorers without a rank")
    assert lines[at + 4].split() == ["d", "0.400", "1/3", "2", "absent", "0.5", "2.2", "s", "1"]


def test_what_is_a_critical_difference_off_the_best_has_no_mark():
    # ranks 1, 2, 3 throughout: over 5 pairs 2.343 √(3·4 / (6·5)) = 1.48, over 2 pairs 2.34
    for pairs, marks in ((5, ["*", "~", ""]), (2, ["*", "~", "~"])):
        aurocs = {(str(out), 1): {"a": 0.9, "b": 0.8, "c": 0.7} for out in range(pairs)}
        lines = rendered(aurocs=aurocs).splitlines()
        found = [line.split()[1] for line in lines if line[:2] in ("a ", "b ", "c ")]
        assert found == [f"{rank}.00{mark}" for rank, mark in enumerate(marks, 1)]


def test_json_has_costs_in_a_field_of_their_own():
    found = json.loads(rendered("json"))
    assert set(found) == {"suite", "set", "ranking", "costs"}
    assert found["ranking"]["scorers"][0] == {
        "scorer": "b",
        "mean_rank": 1.5,
        "mean_auroc": pytest.approx(0.8),
        "numbers": 3,
    }
    assert found["ranking"]["critical_difference"] == pytest.approx(2.343, abs=1e-3)
    assert found["costs"]["b"] == {
        "seconds_per_example": 12.0,
        "extra_training": 1234.4,
        "extra_passes": 3,
    }


def test_markdown_latex_and_csv():
    assert "# A \\*title\\*\n" in rendered("markdown")
    assert "| b        |    **1.50** |" in rendered("markdown")
    assert r"\bfseries 1.50" in rendered("latex")
    aurocs = {**AUROCS, ("x", 1): {**AUROCS["x", 1], "d": 0.4}}
    rows = list(csv.DictReader(io.StringIO(rendered("csv", aurocs))))
    assert [row["scorer"] for row in rows] == ["b", "a", "c", "d"]
    assert rows[1]["seconds_per_example"] == "0.0123456"
    assert rows[3]["mean_rank"] == ""
