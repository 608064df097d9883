"""Two runs beside each other: pairs, judgements, ranks, and how the command ends."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import BenchError, NothingSelectedError
from harness.metrics import paired
from harness.regression.compare import checked_names, compare_runs
from harness.regression.ranking import rank_scorers
from harness.regression.runs import Run, load_run
from harness.results import Cell, Result
from harness.run import saved
from harness.settings import Settings
from tests.made_results import scored_result

HEAD = {"version": saved.VERSION, "basis": None}
PROVENANCE = {"in_split": "i", "out_split": "o", "draw_seed": 0}
N = 200


def result(quality, out="out", scorer="s", model="m", epoch=1, noise=0, seed=0):
    """A result whose OOD scores lie `quality` above; groups have scores of their own."""
    common = np.random.default_rng(0).normal(size=(2, N))
    own = 0.3 * np.random.default_rng(1 + noise).normal(size=(2, N))
    scores_in, scores_out = common + own + [[0.0], [quality]]
    return scored_result(
        Cell(model, "in", out, scorer, epoch, 1, seed),
        scores_in,
        scores_out,
        provenance=dict(PROVENANCE),
    )


def a_run(*results, name="r"):
    return Run(name, {item.cell: item for item in results})


def test_b_is_better_worse_or_tied_and_the_difference_is_b_minus_a():
    a = [result(1.0, out) for out in ("x", "y", "z")]
    b = [result(2.0, "x", noise=1), result(0.2, "y", noise=1), result(1.0, "z", noise=1)]
    compared, left_out = compare_runs(a_run(*a), a_run(*b), {})
    assert [item.judgement for item in compared] == ["better", "worse", "tie"]
    assert left_out == []
    for item, first, second in zip(compared, a, b, strict=True):
        test = paired.compared([second], [first])
        assert item.difference == pytest.approx(second.metrics.auroc - first.metrics.auroc)
        assert (item.low, item.high, item.p_value) == (test.low, test.high, test.p_value)
        assert item.p_adjusted >= item.p_value


def test_among_many_cells_a_difference_must_be_clearer():
    pair = result(1.0, "x"), result(1.14, "x", noise=1)
    alone, _ = compare_runs(a_run(pair[0]), a_run(pair[1]), {})
    assert alone[0].judgement == "better"
    others = [result(1.0, f"o{number}") for number in range(40)]
    same = [result(1.0, f"o{number}", noise=2) for number in range(40)]
    many, _ = compare_runs(a_run(pair[0], *others), a_run(pair[1], *same), {})
    assert many[0].p_value == alone[0].p_value
    assert many[0].judgement == "tie"


def test_what_cannot_be_compared_says_why():
    cells = {name: result(1.0, name) for name in "abcde"}
    other = {name: result(1.0, name) for name in "bcde"}
    other["b"] = Result(cells["b"].cell, "failed", "by design")
    other["c"].provenance["draw_seed"] = 1
    other["d"] = dataclasses.replace(other["d"], scores_out=other["d"].scores_out[1:])
    cells["f"] = Result(result(1.0, "f").cell, "failed", "of A, so nothing is lost")
    compared, left_out = compare_runs(a_run(*cells.values()), a_run(*other.values()), {})
    assert [item.cell.out_dataset for item in compared] == ["e"]
    assert {item.cell.out_dataset: item.reason for item in left_out} == {
        "a": "the cell is missing in B",
        "b": "failed in B: by design",
        "c": "different examples were scored: draw_seed differs",
        "d": "A scored 200 and 200 groups, B 200 and 199",
    }


def test_scorers_of_both_runs_are_ranked_over_pairs_of_data_sets():
    qualities = {"weak": 0.2, "strong": 1.0}
    a, b = (
        a_run(
            *(
                result(quality + gain, out, scorer, epoch=epoch)
                for out in ("x", "y", "z")
                for epoch in (1, 2)
                for scorer, quality in qualities.items()
            )
        )
        for gain in (0.0, 0.5)
    )
    compared, _ = compare_runs(a, b, {})
    ranking = rank_scorers(compared)
    assert ranking.mean_ranks == {
        ("B", "strong"): 1.0,
        ("A", "strong"): 2.0,
        ("B", "weak"): 3.0,
        ("A", "weak"): 4.0,
    }
    assert ranking.pairs == 3  # epochs are no further evidence
    assert ranking.critical_difference == pytest.approx(2.569 * (4 * 5 / 18) ** 0.5, abs=2e-3)
    assert ranking.friedman == pytest.approx(9.0)
    assert rank_scorers([item for item in compared if item.cell.out_dataset == "x"]) is None
    assert rank_scorers(compared[1:]).pairs == 3  # the pair's other epoch has both scorers


@pytest.fixture
def keep(tmp_path):
    """Write a run as `bench run` keeps it."""

    def write(name, *results):
        folder = tmp_path / name / "results" / "suite"
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps({"suite": "suite", "results": []}))
        (folder / "results.npz").write_bytes(saved._content(results, HEAD))
        return folder

    return write


def bench_compare(*arguments):
    done = CliRunner().invoke(app, ["compare", *map(str, arguments)])
    return done.exit_code, done.output, done.exception


def test_the_exit_status_tells_worse_from_not_compared(keep):
    failed = Result(result(1.0, "y").cell, "failed", "by design")
    a = keep("a", result(1.0, "x"), result(1.0, "y"))
    worse = keep("worse", result(0.2, "x", noise=1), failed)
    lacking = keep("lacking", result(2.0, "x", noise=1), failed)
    better = keep("better", result(2.0, "x", noise=1), result(1.0, "y"))
    ends = {"worse": 3, "lacking": 1, "better": 0}
    for folder, status in zip((worse, lacking, better), ends.values(), strict=True):
        assert bench_compare(a, folder)[0] == 0
        assert bench_compare(a, folder, "--fail-on", "worse")[0] == status
    status, output, _ = bench_compare(a, worse, "--json")
    found = json.loads(output)
    assert [row["judgement"] for row in found["cells"]] == ["worse"]
    assert found["scorers"][0] | {"mean_difference": 0} == {
        **{"scorer": "s", "win": 0, "tie": 0, "loss": 1},
        "mean_difference": 0,
    }
    assert found["left_out"][0]["reason"] == "failed in B: by design"


def test_the_text_names_what_differs(keep):
    a = keep("a", result(1.0, "x"), result(1.0, "y"))
    b = keep("b", result(0.2, "x", noise=1), result(1.0, "y", noise=1))
    _, output, _ = bench_compare(a, b)
    lines = [" ".join(line.split()) for line in output.splitlines()]
    (row,) = [line for line in lines if line.endswith(" worse")]
    assert row.startswith("m in x s 1 1 0.7")
    assert "1 of 2 places differ significantly (paired tests, Holm-corrected)." in lines
    assert any(line.startswith("s 0 1 1 -0.") for line in lines)
    assert any(line.startswith("A s 1.") for line in lines)
    assert any("over 2 pairs of data sets" in line.lower() for line in lines)


def test_the_kinds_of_likelihood_are_told(keep):
    kinds = {"flow": "exact", "vae": "lower_bound", "net": "exact"}
    of_kinds = [
        dataclasses.replace(found, provenance={**found.provenance, "likelihood": kind})
        for model, kind in kinds.items()
        for found in [result(1.0, model=model)]
    ]
    a, b = keep("a", *of_kinds), keep("b", *of_kinds[:1])
    status, output, _ = bench_compare(a, b)
    assert status == 0
    first, second = output.splitlines()[:2]
    assert first.endswith("; the log-probability is exact (flow, net), a lower bound (vae)")
    assert second.endswith("; the log-probability is exact (flow)")
    found = json.loads(bench_compare(a, b, "--json")[1])
    assert found["likelihoods"] == {"a": kinds, "b": {"flow": "exact"}}


def test_a_selection_and_unknown_runs(keep, tmp_path):
    a = keep("a", result(1.0, "x"), result(1.0, "y"))
    settings = Settings(tmp_path / "store", tmp_path / "data")
    run = load_run(str(a), (), settings, ["out=y"])
    assert [cell.out_dataset for cell in run.results] == ["y"]
    with pytest.raises(BenchError, match="no cell has this value"):
        load_run(str(a), (), settings, ["out=z"])
    with pytest.raises(BenchError) as error:
        load_run(str(tmp_path / "a"), (), settings, ())
    assert "is not a run: expected a suite (.toml) or a folder with results.npz" in str(
        error.value
    )
    assert f"(known: {a})" in str(error.value)
    (a / "results.npz").write_bytes(b"PK")
    with pytest.raises(BenchError, match="its results cannot be read"):
        load_run(str(a), (), settings, ())
    other = keep("other", result(1.0, "z"))
    _, _, exception = bench_compare(keep("b", result(1.0, "x")), other)
    assert isinstance(exception, NothingSelectedError)
    assert str(exception) == "no cell can be compared: the cell is missing in B"


def test_a_suite_that_was_run_equals_the_results_that_it_kept(tiny_suite, settings):
    from harness.cli.display.displays import NoDisplay
    from harness.run.run import run
    from harness.suite import load_suite

    tiny_suite.write_text(tiny_suite.read_text().replace("[0, 2]", "[0]"))
    run(load_suite(tiny_suite), settings, NoDisplay())
    scored = load_run(str(tiny_suite), (), settings, ())
    kept = load_run(str(settings.store / "results" / "tiny"), (), settings, ())
    assert list(scored.results) == list(kept.results)
    compared, left_out = compare_runs(scored, kept, {})
    assert (len(compared), left_out) == (12, [])
    assert {item.difference for item in compared} == {0.0}


def test_a_shipped_suite_is_a_run_by_name(settings):
    command = r"run: bench run quickstart --store=\S+ --data="
    with pytest.raises(NothingSelectedError, match=command):
        load_run("quickstart", (), settings, ())


def trained(run, seeds, qualities, names=("m", "s")):
    """Results of trainings of one's own: each seed has scores of its own, and other weights."""
    model, scorer = names
    found = []
    for seed, quality in zip(seeds, qualities, strict=True):
        item = result(quality, "x", scorer, model, noise=10 * len(run) + seed, seed=seed)
        item.provenance["statistics"] = {"log_prob": {"weights": f"{run}{seed}"}}
        found.append(item)
    return found


def test_runs_that_differ_in_seeds_and_names_are_compared_by_their_means():
    """Against the formulas for two separate trainings, with covariance matrices spelled out."""
    a = trained("old", (0, 1, 2), (1.0, 1.3, 0.8))
    b = trained("newer", (5, 6), (1.6, 1.9), names=("m2", "s2"))
    run_a, run_b = a_run(*a), a_run(*b)
    names = checked_names(["m=m2", "s=s2"], run_a, run_b)
    ((found,), left_out) = compare_runs(run_a, run_b, names)
    assert left_out == []
    assert (found.seeds_a, found.seeds_b, found.trainings) == ((0, 1, 2), (5, 6), 2)

    def shares(item):
        v = (item.scores_out[:, None] > item.scores_in).mean(1)
        return v, (item.scores_out[:, None] > item.scores_in).mean(0)

    def covariance(x, y):
        pairs = zip(shares(x), shares(y), strict=True)
        return sum(np.cov(one, other)[0, 1] / N for one, other in pairs)

    def mean_covariance(first, second):
        return np.mean([covariance(x, y) for x in first for y in second if x is not y])

    aurocs = [np.array([x.metrics.auroc for x in side]) for side in (a, b)]
    spread = [side.var(ddof=1) / len(side) for side in aurocs]
    d = aurocs[1].mean() - aurocs[0].mean()
    assert found.difference == pytest.approx(d)
    c = mean_covariance(a, a) + mean_covariance(b, b) - 2 * mean_covariance(a, b)
    v = sum(np.mean([covariance(x, y) for x in s for y in s]) for s in (a, b))
    v -= 2 * mean_covariance(a, b)
    df = sum(spread) ** 2 / (spread[0] ** 2 / 2 + spread[1] ** 2 / 1)

    def excess(p):
        z, t = stats.norm.isf(p / 2), stats.t.isf(p / 2, int(df))
        return max(t**2 * sum(spread) + z**2 * max(c, 0), z**2 * v) - d**2

    assert found.p_value == pytest.approx(brentq(excess, 1e-8, 1 - 1e-9), rel=1e-3)


def test_a_name_that_is_not_in_its_run_is_refused():
    run_a, run_b = a_run(*trained("a", (0,), (1.0,))), a_run(*trained("b", (0,), (1.0,)))
    with pytest.raises(BenchError, match="'moon' is not in A: known: in, m, s, x"):
        checked_names(["moon=m"], run_a, run_b)
    with pytest.raises(BenchError, match="expected OLD=NEW"):
        checked_names(["m"], run_a, run_b)


def test_the_command_maps_names_and_says_what_its_test_covers(keep):
    old = keep("old", *trained("old", (0, 1), (1.0, 1.3)))
    new = keep("new", *trained("new", (5, 6), (1.6, 1.9), names=("m2", "s2")))
    status, output, _ = bench_compare(old, new, "--map", "m=m2", "--map", "s=s2", "--json")
    found = json.loads(output)
    assert (status, len(found["cells"]), found["left_out"]) == (0, 1, [])
    assert found["cells"][0]["seeds_b"] == [5, 6]
    assert found["covers"] == [
        "Intervals and tests cover other test examples and other trainings (2 seeds)."
    ]
    one = keep("one", *trained("one", (0,), (1.0,)))
    _, output, _ = bench_compare(old, one, "--json")
    assert json.loads(output)["covers"][0].endswith("but not differences between trainings.")
