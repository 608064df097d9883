"""Plans: what is asked for, what is stored, what is new and why."""

from __future__ import annotations

import pytest

from harness.cli.display.displays import NoDisplay
from harness.plan.explain import Reasons
from harness.plan.jobs import ChainId
from harness.run.prepare import missing_jobs, plan_unopened
from harness.run.run import run
from harness.store.records import Store
from harness.suite import load_suite


@pytest.fixture
def ran(tiny_suite, settings):
    run(load_suite(tiny_suite), settings, NoDisplay())
    return tiny_suite


def plan_of(path, settings):
    plan = plan_unopened(load_suite(path), settings)
    store = Store(settings.store)
    new = [job for chain in plan.chains.values() for job in missing_jobs(plan, store, chain)]
    return plan, store, new


def amended(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_a_plan_without_data_lists_every_job_once(tiny_suite, settings):
    plan, store, _ = plan_of(tiny_suite, settings)
    (chain,) = plan.chains.values()
    # log_prob: 4 draws; with noise: 3 draws; gradients: 4 draws and 2 group sizes; at 2 epochs
    assert len(chain.jobs) == 2 * (4 + 3 + 4 * 2)
    assert len(plan.cells) == 2 * 2 * 2 * 3  # epochs, sizes, out sets, scorers
    reason = Reasons(plan, store).training(ChainId("flow", "digits", 0), 2)
    assert reason == "data set 'digits' has not been opened yet"


def test_after_a_run_nothing_is_new(ran, settings):
    assert plan_of(ran, settings)[2] == []


def test_a_later_epoch_continues_and_nothing_before_it_is_done_again(ran, settings):
    plan, store, new = plan_of(amended(ran, "[0, 2]", "[0, 1, 2, 3]"), settings)
    assert all("epoch 1" in job or "epoch 3" in job for job in new)
    reasons, chain = Reasons(plan, store), ChainId("flow", "digits", 0)
    assert reasons.training(chain, 3) == "training continues from stored epoch 2"
    assert reasons.training(chain, 1) == "training continues from stored epoch 0"


def test_another_scorer_on_stored_statistics_needs_no_model(ran, settings):
    extra = '[scorers.wide]\nplugin = "gradient-gaussian"\noptions = { eps = 1e-3 }\n\n'
    path = amended(ran, "[[comparisons]]", extra + "[[comparisons]]")
    path = amended(path, '"typicality",', '"typicality", "wide",')
    plan, _, new = plan_of(path, settings)
    assert new == []
    assert len(plan.cells) == 2 * 2 * 2 * 4


def test_another_recipe_is_new_and_says_what_differs(ran, settings):
    plan, store, _ = plan_of(amended(ran, "1e-3", "2e-3"), settings)
    assert Reasons(plan, store).training(ChainId("flow", "digits", 0), 2) == (
        "the nearest stored record differs: recipe.learning_rate is 0.002, was 0.001"
    )


def test_another_group_size_is_new_for_group_statistics_only(ran, settings):
    plan, store, new = plan_of(amended(ran, "[1, 5]", "[1, 3]"), settings)
    assert len(new) == 2 * 4
    job = next(
        job for job in plan.chains[ChainId("flow", "digits", 0)].jobs if job.group_size == 3
    )
    assert "group_size is 3, was " in Reasons(plan, store).statistic(job)


def test_names_are_no_part_of_any_key(ran, settings):
    text = ran.read_text().replace("flow", "river").replace("brief", "short")
    ran.write_text(text.replace("datasets.noise", "datasets.static"))
    assert plan_of(ran, settings)[2] == []


def test_batch_size_is_no_part_of_any_key(ran, settings):
    import dataclasses

    assert plan_of(ran, dataclasses.replace(settings, batch_size=7))[2] == []


def test_comparisons_that_overlap_share_jobs(tiny_suite, settings):
    text = tiny_suite.read_text()
    again = text[text.index("[[comparisons]]") :].replace("[0, 2]", "[2]")
    tiny_suite.write_text(text + again.replace('"others"', '["noise"]'))
    plan, _, _ = plan_of(tiny_suite, settings)
    (chain,) = plan.chains.values()
    assert len(chain.jobs) == 2 * (4 + 3 + 4 * 2)
    assert len(plan.cells) == 24


def test_seeds_are_chains_of_their_own(tiny_suite, settings):
    text = tiny_suite.read_text()
    tiny_suite.write_text(text + "\n    seeds = [0, 1]\n")
    plan, _, _ = plan_of(tiny_suite, settings)
    assert [str(chain) for chain in plan.chains] == ["flow on digits", "flow on digits (seed 1)"]


WAIC = """
    [scorers.seeds]
    plugin = "waic"
    options = { seeds = [0, 3] }

    [scorers.epochs]
    plugin = "waic"
    options = { epochs = [2, 5] }

    [[comparisons]]"""


def test_inputs_of_other_seeds_and_epochs_are_planned_where_they_belong(tiny_suite, settings):
    amended(tiny_suite, "[[comparisons]]", WAIC.strip())
    path = amended(tiny_suite, '"gradient-gaussian"]', '"seeds", "epochs"]')
    plan, _, _ = plan_of(path, settings)
    own, other = ChainId("flow", "digits", 0), ChainId("flow", "digits", 3)
    assert set(plan.chains) == {own, other}
    assert plan.chains[own].epochs == {0, 2, 5}
    assert plan.chains[other].epochs == {0, 2}
    read = {
        (cell.cell.scorer, cell.cell.epoch): {
            text: {(job.chain.seed, job.epoch, job.draw.role) for job in jobs}
            for text, jobs in cell.reads.items()
        }
        for cell in plan.cells
    }

    def roles(seed, epoch):
        return {(seed, epoch, role) for role in ("fit", "in", "out")}

    for epoch in (0, 2):
        assert read["seeds", epoch] == {
            "log_prob/0": roles(0, epoch),
            "log_prob/3": roles(3, epoch),
        }
        assert read["epochs", epoch] == {"log_prob:2": roles(0, 2), "log_prob:5": roles(0, 5)}
