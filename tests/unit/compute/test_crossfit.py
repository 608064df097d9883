"""Fitted statistics: on which examples they are fitted, and that they are shared."""

from __future__ import annotations

import textwrap
from collections import Counter

import numpy as np
import pytest

from harness.cli.display.displays import NoDisplay
from harness.compute.evaluate import MOST, Fits
from harness.data.roles import Draw
from harness.errors import ScoreError
from harness.plan.costs import scorer_costs
from harness.plan.crossfit import CrossFitSplit, by_fit, cross_fit_splits
from harness.plan.estimate import estimate_chain
from harness.plan.explain import Reasons
from harness.plan.jobs import ChainId, StatisticJob
from harness.run.prepare import missing_jobs, plan_unopened
from harness.run.run import run
from harness.store.layout import STATISTICS
from harness.store.records import Store
from harness.suite import load_suite
from tests.conftest import TINY_SUITE
from tests.places import settings_in

PLUGIN = '''
from pathlib import Path
import numpy as np
from oodbench import Entry, NotFittedError, ScoreError, hookimpl

FOLDER = Path(__file__).parent


@hookimpl
def bench_statistics():
    return [Entry("spy", ":Spy", "test"), Entry("spy-alone", ":SpyAlone", "test")]


@hookimpl
def bench_scorers():
    return [Entry("total", ":Total", "test"), Entry("total-alone", ":TotalAlone", "test")]


def names(examples):
    return [example.numpy().tobytes() for example in examples]


class Spy:
    """Tells how many it was fitted on, their mean, and how many of the group were among them."""

    per = "group"
    known = None

    def __init__(self, *, refuse: bool = False) -> None:
        self.refuse = refuse

    def features(self, model):
        return ("count", "mean", "known")

    def fit(self, model, examples):
        if self.refuse:
            raise ScoreError("by design")
        self.known, self.mean = names(examples), float(examples.double().mean())
        with open(FOLDER / "fits", "a") as file:
            file.write(f"{self.per} {len(examples)}\\n")
        return self

    def __call__(self, model, groups):
        if self.known is None:
            raise NotFittedError("spy")
        known = [sum(name in self.known for name in names(group)) for group in groups]
        return np.array([[len(self.known), self.mean, k] for k in known], dtype=np.float64)


class SpyAlone(Spy):
    per = "example"


class Total:
    inputs = ("spy",)

    def fit(self, statistics):
        return self

    def score(self, statistics):
        return statistics[self.inputs[0]].reshape(len(statistics[self.inputs[0]]), -1).sum(1)


class TotalAlone(Total):
    inputs = ("spy-alone",)
'''
CHAIN = ChainId("flow", "digits", 0)


SUITE = (
    TINY_SUITE.replace(
        '"log-likelihood", "typicality", "gradient-gaussian"', '"total", "total-alone"'
    )
    .replace("examples = 256", "examples = 64")
    .replace("n_fit = 30", "n_fit = 28")
)


def run_in(folder, *replacements):
    """Run the suite of spies with some text replaced; the outcome and the store."""
    text = textwrap.dedent(SUITE)
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    (folder / "plugin.py").write_text(PLUGIN)
    (folder / "spies.toml").write_text('plugins.paths = ["plugin.py"]\n' + text)
    outcome = run(load_suite(folder / "spies.toml"), settings_in(folder), NoDisplay())
    return outcome, Store(settings_in(folder).store)


ONE_EPOCH = ("epochs = [0, 2]", "epochs = 0")


@pytest.fixture(scope="module")
def spied(tmp_path_factory):
    """The folder of a run of the suite, its outcome and its store; not to be changed."""
    folder = tmp_path_factory.mktemp("spied")
    return folder, *run_in(folder)


def rows(plan, store, role, statistic="spy", size=1, epoch=0):
    """The values of the jobs of a role, with the images that they are of."""
    for job in plan.chains[CHAIN].jobs:
        if (job.statistic, job.group_size, job.epoch) == (statistic, size, epoch):
            if job.draw.role == role:
                key = plan.keys(store).statistic_key(job)
                prepared = plan.prepared[job.draw.dataset]
                images = prepared.load("test")[job.draw.ids(prepared.counts["test"])]
                yield store.read_array(STATISTICS, key, "values.npy"), images


@pytest.mark.parametrize(("statistic", "size"), [("spy", 1), ("spy", 5), ("spy-alone", None)])
def test_no_example_is_evaluated_by_what_was_fitted_on_it(spied, statistic, size):
    _, outcome, store = spied
    assert {result.status for result in outcome.results} == {"ok"}
    b = size or 1
    ((values, images),) = rows(outcome.plan, store, "fit", statistic, size)
    groups, half = 28 // b, 28 // b // 2
    assert len(values) == groups
    first, second = images[: half * b], images[half * b :]
    assert values[:half, 0].tolist() == [len(second)] * half
    assert values[half:, 0].tolist() == [len(first)] * (groups - half)
    np.testing.assert_allclose(values[:half, 1], second.mean())
    np.testing.assert_allclose(values[half:, 1], first.mean())
    assert not values[:, 2].any()
    others = [*rows(outcome.plan, store, "in", statistic, size)]
    others += rows(outcome.plan, store, "out", statistic, size)
    assert len(others) == 3
    for found, _ in others:  # as many examples as for those of `fit`
        assert (found[:, 0] == len(second)).all()
        np.testing.assert_allclose(found[:, 1], second.mean())
        assert not found[:, 2].any()


def test_one_fit_serves_every_job_of_a_checkpoint_that_shares_it(spied):
    fits = Counter((spied[0] / "fits").read_text().splitlines())
    # At each epoch: halves of 14 for single examples, of 10 and 18 for groups of 5. The second
    # serves `in` and two sets `out` as well.
    assert fits == {"group 14": 2 * 2, "group 10": 2, "group 18": 2, "example 14": 2 * 2}


def test_with_the_papers_overlap_the_same_examples_have_two_values(tmp_path):
    """`in` and `fit` are the same 30 examples; only those of `in` are ever fitted on."""
    overlap = ("n_fit = 28", 'fit_overlap = "paper"\nn_fit = 30')
    outcome, store = run_in(tmp_path, ONE_EPOCH, overlap)
    assert outcome.exit_status == 0
    ((fit, images),) = rows(outcome.plan, store, "fit")
    ((inside, same),) = rows(outcome.plan, store, "in")
    assert np.array_equal(images, same)
    assert not fit[:, 2].any()
    assert inside[:, 2].tolist() == [0.0] * 15 + [1.0] * 15
    assert (inside[:, 0] == 15).all()


def test_other_fit_examples_are_another_statistic(spied, tmp_path):
    folder, _, store = spied
    text = (folder / "spies.toml").read_text().replace("n_fit = 28", "n_fit = 20")
    (tmp_path / "spies.toml").write_text(text)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    plan = plan_unopened(load_suite(tmp_path / "spies.toml"), settings_in(folder))
    chain = plan.chains[CHAIN]
    new = missing_jobs(plan, store, chain)
    assert len(new) == len([job for job in chain.jobs if job.statistic.startswith("spy")])
    job = next(job for job in chain.jobs if job.draw.role == "in" and job.group_size == 5)
    assert "fit.ids is " in Reasons(plan, store).statistic(job)
    estimate = estimate_chain(plan, store, chain)
    assert estimate.unknown == 0
    assert estimate.seconds > 0


def test_what_the_fit_refuses_fails_in_its_cells(tmp_path):
    options = '[statistics.spy]\nplugin = "spy"\noptions = { refuse = true }\n\n[[comparisons]]'
    outcome, _ = run_in(tmp_path, ONE_EPOCH, ("[[comparisons]]", options))
    found = {result.cell.scorer: result for result in outcome.results}
    assert found["total-alone"].status == "ok"
    assert found["total"].status == "failed"
    assert found["total"].message.endswith("by design")


def job_of(role, *, size, n_fit=11, fitted=True):
    fit = Draw("digits", "fit", 5, n_fit, None, "none", 0)
    draw = fit if role == "fit" else Draw("digits", role, 5, None, None, "none", 0)
    return StatisticJob(CHAIN, 0, "spy", draw, size, fit if fitted else None)


@pytest.mark.parametrize(("size", "half"), [(None, 5), (1, 5), (2, 4), (3, 3), (5, 5)])
def test_halves_are_whole_groups(size, half):
    job = job_of("fit", size=size)
    ids = job.draw.ids(40).tolist()
    found = [(part.ids.tolist(), part.fit.tolist()) for part in cross_fit_splits(job, 40, 40)]
    assert found == [(ids[:half], ids[half:]), (ids[half:], ids[:half])]
    b = size or 1
    assert sum(len(part) // b for part, _ in found) == 11 // b  # no group is lost to the cut


def test_one_group_has_no_other_half():
    with pytest.raises(ScoreError, match="two groups of 6 are needed, but only 11 examples exist"):
        list(cross_fit_splits(job_of("fit", size=6), 40, 40))


def test_roles_that_are_not_fitted_on_come_whole():
    (part,) = cross_fit_splits(job_of("in", size=2), 40, 40)
    assert part.fit.tolist() == job_of("fit", size=2).draw.ids(40).tolist()[4:]
    assert not set(part.fit) & set(part.ids)
    (part,) = cross_fit_splits(job_of("fit", size=2, fitted=False), 40, 40)
    assert part.fit is None
    jobs = [job_of("in", size=2), job_of("fit", size=1), job_of("in", size=1, fitted=False)]
    jobs.append(job_of("out", size=1))
    assert sorted(jobs, key=by_fit) == [jobs[2], jobs[1], jobs[3], jobs[0]]


def test_few_fitted_statistics_are_kept_the_last_used_longest():
    class Built:
        name = "s"
        build = staticmethod(list)

    fits, made = Fits(), []

    def ready(number):
        part = CrossFitSplit(np.arange(3), np.array([number]))
        statistic, _ = fits.ready(Built(), part, lambda new: made.append(number))
        return statistic

    first = ready(1)
    assert (MOST, ready(2) is first, ready(1) is first) == (2, False, True)
    ready(3)  # in place of 2
    assert ready(1) is first
    ready(2)
    assert made == [1, 2, 3, 2]


def test_the_same_numbers_of_another_data_set_are_another_fit():
    """A general model's statistics are fitted on several ID sets, which may be of one size."""

    class Built:
        name = "s"
        build = staticmethod(list)

    fits, made = Fits(), []
    for dataset in ("china", "flower", "china"):
        part = CrossFitSplit(np.arange(3), np.array([1]), dataset)
        fits.ready(Built(), part, lambda new, dataset=dataset: made.append(dataset))
    assert made == ["china", "flower"]


def test_a_fit_that_jobs_share_costs_its_seconds_once(spied):
    _, outcome, store = spied
    costs = scorer_costs(outcome.plan, store)
    for scorer, statistic in (("total", "spy"), ("total-alone", "spy-alone")):
        seconds, examples, fits = 0.0, 0, set()
        for job in outcome.plan.chains[CHAIN].jobs:
            if job.statistic == statistic:
                facts = store.manifest(
                    STATISTICS, outcome.plan.keys(store).statistic_key(job)
                ).facts
                seconds += facts["seconds"]
                examples += 28 if job.draw.role == "fit" else 30
                if job.draw.role == "fit":  # the others use one of its two fits
                    fits.add(facts["fit_seconds"])
        assert costs[scorer].seconds_per_example == pytest.approx(
            (seconds + sum(fits)) / examples, rel=1e-9
        )
