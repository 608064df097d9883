"""A run of scorers that read other models, seeds and epochs, other scorers, or no model at all."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

from harness.events import JobFinished
from harness.maintenance.required import required_records
from harness.plan.explain import Reasons
from harness.regression.make_pins import provenance_of
from harness.regression.pinned_settings import cell_settings
from harness.results import Cell
from harness.run.outcome import score_stored
from harness.run.prepare import missing_jobs, plan_unopened
from harness.run.run import run
from harness.store.layout import STATISTICS
from harness.store.records import Store
from harness.suite import load_suite
from tests.places import settings_in

SUITE = """
    [training.plain]
    minibatch = 32
    examples = 64

    [training.noisy]
    minibatch = 32
    examples = 64
    mutation_rate = 0.3

    [models.flow]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 4 }
    training = "plain"

    [models.background]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 4 }
    training = "noisy"

    [datasets.digits]
    plugin = "digits"

    [datasets.noise]
    plugin = "noise"
    options = { n_train = 10, n_test = 40 }

    [scorers.ratio]
    plugin = "likelihood-ratio"
    options = { background = "background" }

    [scorers.seeds]
    plugin = "waic"
    options = { seeds = [0, 1] }

    [scorers.epochs]
    plugin = "waic"
    options = { epochs = [0, 1] }

    [scorers.all]
    plugin = "ensemble"
    options = { scorers = ["ratio", "total-variation"] }

    [[comparisons]]
    models = ["flow", "background"]
    in = "digits"
    out = "noise"
    epochs = [0, 1]
    scorers = ["ratio", "seeds", "epochs", "all", "total-variation", "input-complexity"]
    n_in = 20
    n_fit = 20
    n_out = 20
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a run, its outcome and the names of the jobs that were done."""
    folder = tmp_path_factory.mktemp("ran")
    path = folder / "suite.toml"
    path.write_text(textwrap.dedent(SUITE), encoding="utf-8")
    done = []

    def follow(event):
        if isinstance(event, JobFinished):
            done.append(event.job)

    return folder, run(load_suite(path), settings_in(folder), follow), done


@pytest.fixture
def again(ran):
    """The plan from what is stored, its store, and its results by scorer, model and epoch."""
    folder, _, _ = ran
    settings = settings_in(folder)
    plan = plan_unopened(load_suite(folder / "suite.toml"), settings)
    results = score_stored(plan, settings, lambda event: None).results
    cells = {(item.cell.scorer, item.cell.model, item.cell.epoch): item for item in results}
    return plan, Store(settings.store), cells


def planned_cell(plan, scorer, model="flow", epoch=1):
    (found,) = (
        item
        for item in plan.cells
        if (item.cell.scorer, item.cell.model, item.cell.epoch) == (scorer, model, epoch)
    )
    return found


def log_prob(plan, store, model, epoch, seed, role):
    """The stored log-probabilities of a checkpoint, found without the names of inputs."""
    for chain in plan.chains.values():
        for job in chain.jobs:
            place = (chain.id.model, chain.id.seed, job.epoch, job.statistic, job.draw.role)
            if place == (model, seed, epoch, "log_prob", role):
                key = plan.keys(store).statistic_key(job)
                return store.read_array(STATISTICS, key, "values.npy")[:, 0]
    raise AssertionError("it was not planned")


def test_every_cell_has_a_number_and_nothing_is_left_to_do(ran, again):
    _, outcome, _ = ran
    plan, store, cells = again
    assert [item.message for item in outcome.results if item.status != "ok"] == []
    assert len(cells) == 2 * 2 * 6
    assert not any(missing_jobs(plan, store, chain) for chain in plan.chains.values())


@pytest.mark.parametrize(("epoch", "role"), [(0, "in"), (1, "in"), (1, "out")])
def test_inputs_are_those_that_their_names_say(again, epoch, role):
    plan, store, cells = again

    def scores(scorer):
        return getattr(cells[scorer, "flow", epoch], f"scores_{role}")

    def l(model="flow", epoch=epoch, seed=0):  # noqa: E743 - as in the formulas
        return log_prob(plan, store, model, epoch, seed, role)

    np.testing.assert_array_equal(scores("ratio"), l("background") - l())
    first, second = l(seed=0), l(seed=1)
    expected = ((first - second) / 2) ** 2 - (first + second) / 2
    np.testing.assert_allclose(scores("seeds"), expected, rtol=1e-12)
    first, second = l(epoch=0), l(epoch=1)
    expected = ((first - second) / 2) ** 2 - (first + second) / 2
    np.testing.assert_allclose(scores("epochs"), expected, rtol=1e-12)
    assert not np.array_equal(l(seed=0), l(seed=1))
    assert not np.array_equal(l(), l("background"))


def test_one_value_of_the_examples_alone_serves_all_models_and_epochs(ran, again):
    _, _, done = ran
    plan, store, cells = again
    jobs = [job for chain in plan.chains.values() for job in chain.jobs if job.epoch is None]
    assert {job.statistic for job in jobs} == {"total_variation", "compressed_bits"}
    assert {job.chain.model for job in jobs} == {"flow", "background"}
    keys = {plan.keys(store).statistic_key(job) for job in jobs}
    assert len(keys) == 6  # two statistics of fit, in and out
    for key in keys:
        inputs = store.manifest(STATISTICS, key).inputs
        assert not {"model", "weights"} & set(inputs)
        assert {(STATISTICS, key)} <= set(required_records(plan, store))
    assert len([job for job in done if "total_variation" in job]) == 3
    scored = [
        cells["total-variation", model, epoch].scores_in
        for model in ("flow", "background")
        for epoch in (0, 1)
    ]
    assert all(np.array_equal(scored[0], other) for other in scored)


def test_results_say_what_made_them(again):
    _, _, cells = again
    alone = cells["total-variation", "flow", 1]
    (origin,) = alone.provenance["statistics"].values()
    assert origin["plugin"] == "total_variation"
    assert not {"model", "weights", "epoch"} & set(origin)
    assert set(origin["versions"]) >= {"numpy", "pillow"}
    assert provenance_of(alone)["weights"] == {}
    members = cells["all", "flow", 1].provenance["scorer"]["members"]
    assert [made["plugin"] for made in members] == ["likelihood-ratio", "total-variation"]
    weights = provenance_of(cells["seeds", "flow", 1])["weights"]
    assert len(set(weights.values())) == 2


def test_pins_depend_on_every_training_that_is_read(again):
    plan, _, _ = again

    def settings(scorer):
        return cell_settings(plan, planned_cell(plan, scorer))

    assert settings("total-variation")["training"] == {}
    assert settings("seeds")["training"]["seed"] == 0
    assert "training" not in settings("seeds")["statistic log_prob/0"]
    assert settings("seeds")["statistic log_prob/1"]["training"]["seed"] == 1
    assert settings("epochs")["statistic log_prob:0"]["epoch"] == 0
    other = settings("ratio")["statistic log_prob@background"]["training"]
    assert other["recipe"]["mutation_rate"] == 0.3
    assert "mutation_rate" not in settings("ratio")["training"]["recipe"]


def test_why_knows_statistics_without_a_model(again):
    plan, store, _ = again
    job = next(job for chain in plan.chains.values() for job in chain.jobs if job.epoch is None)
    chain = plan.chains[job.chain]
    lost = store.path(STATISTICS, plan.keys(store).statistic_key(job))
    hidden = lost.rename(lost.with_name("aside"))
    try:
        assert str(job) in missing_jobs(plan, store, chain)
        reason = Reasons(plan, store).statistic(job)
        assert reason.startswith("the nearest stored record differs: ")
    finally:
        hidden.rename(lost)


def test_the_selection_of_one_seed_keeps_the_other_members(ran):
    folder, _, _ = ran
    plan = plan_unopened(load_suite(folder / "suite.toml"), settings_in(folder))
    cell = planned_cell(plan, "seeds").cell
    assert cell == Cell("flow", "digits", "noise", "seeds", 1, 1, 0)
    assert {job.chain.seed for job in planned_cell(plan, "seeds").jobs()} == {0, 1}
