"""General models: trained on a data set of their own, read by scorers whatever is ID."""

from __future__ import annotations

import hashlib
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.compute.checkpoints import load_model
from harness.compute.dry_run import check_suite
from harness.compute.trainer import Training
from harness.data.cards import card_inputs
from harness.data.folder import PreparedDataset
from harness.domain import Images
from harness.errors import MissingDataError
from harness.events import JobFinished
from harness.maintenance.required import RequiredRecords
from harness.plan.expand import make_plan
from harness.plan.explain import Reasons
from harness.plan.jobs import ChainId
from harness.plan.keys import checkpoint_key
from harness.plan.plan import failure_inputs
from harness.regression.pinned_settings import cell_settings
from harness.report.page.facts import gather
from harness.report.tables import auroc_tables
from harness.run.outcome import score_stored
from harness.run.prepare import missing_jobs, plan_unopened
from harness.run.run import run
from harness.store.hashing import digest
from harness.store.layout import CHECKPOINTS, DATASETS, STATISTICS
from harness.store.records import Store
from harness.suite import load_suite
from tests.places import settings_in

PLUGIN = '''
import numpy as np
from oodbench import Entry, hookimpl


@hookimpl
def bench_statistics():
    return [Entry("fit_mean", ":FitMean", "test")]


@hookimpl
def bench_scorers():
    return [Entry("means", ":Means", "test")]


class FitMean:
    """The mean of the examples that it was fitted on, and of the example."""

    per = "example"

    def features(self, model):
        return ("fit", "own")

    def fit(self, model, examples):
        self.mean = float(examples.double().mean())
        return self

    def __call__(self, model, groups):
        return np.array([[self.mean, float(group.double().mean())] for group in groups])


class Means:
    inputs = ("fit_mean@general",)

    def fit(self, statistics):
        return self

    def score(self, statistics):
        return statistics["fit_mean@general"].mean((1, 2))
'''
SUITE = """
    plugins.paths = ["plugin.py"]

    [training.plain]
    minibatch = 32

    [models.flow]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 4 }
    training = "plain"

    [models.general]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 4 }
    training = "plain"
    dataset = "both"

    [datasets.china]
    plugin = "photos"
    options = { photo = "china", n_train = 64, n_test = 40 }

    [datasets.flower]
    plugin = "photos"
    options = { photo = "flower", n_train = 64, n_test = 40 }

    [datasets.both]
    plugin = "photos"
    options = { n_train = 64, n_test = 40, seed = 7 }

    [datasets.both-again]
    plugin = "photos"
    options = { n_train = 64, n_test = 30, seed = 7 }

    [datasets.noise]
    plugin = "noise"
    options = { n_train = 10, n_test = 40 }

    [scorers.ratio]
    plugin = "likelihood-ratio"
    options = { background = "general" }

    [[comparisons]]
    models = "flow"
    in = ["china", "flower"]
    out = ["noise", "both", "both-again"]
    epochs = [0, 1]
    scorers = ["log-likelihood", "ratio", "means"]
    n_in = 20
    n_fit = 16
    n_out = 20
"""
SPECIFIC = """
    [training.short]
    minibatch = 32

    [models.river]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 4 }
    training = "short"

    [datasets.pictures]
    plugin = "photos"
    options = { n_train = 64, n_test = 40, seed = 7 }

    [datasets.noise]
    plugin = "noise"
    options = { n_train = 10, n_test = 40 }

    [[comparisons]]
    models = "river"
    in = "pictures"
    out = "noise"
    epochs = [0, 1]
    scorers = "log-likelihood"
"""
"""The same training as that of `general`, asked for by a comparison and under other names."""

GENERAL = ChainId("general", "both", 0)
RIVER = ChainId("river", "pictures", 0)
TRAINED = "general was trained on the train split of both"
FITTED = (
    "fit_mean@general is fitted to ID examples: intervals and tests of scorers that read it do "
    "not cover this fit"
)


def seen(scorer, out):
    return (
        f"against {out}, {scorer} has seen OOD data: general, which it reads, was trained on the "
        f"train split of {out}"
    )


def write(folder, text=SUITE, name="suite.toml"):
    (folder / "plugin.py").write_text(PLUGIN)
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def run_in(folder, path):
    """The outcome of a run and the names of the jobs that it did."""
    done = []

    def follow(event):
        if isinstance(event, JobFinished):
            done.append(event.job)

    return run(load_suite(path), settings_in(folder), follow), done


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a run, its outcome and the jobs that were done; not to be changed."""
    folder = tmp_path_factory.mktemp("general")
    return folder, *run_in(folder, write(folder))


@pytest.fixture
def plan(ran):
    return plan_unopened(load_suite(ran[0] / "suite.toml"), settings_in(ran[0]))


@pytest.fixture
def store(ran):
    return Store(settings_in(ran[0]).store)


@pytest.fixture
def specific(ran):
    """The plan of the comparison whose ID set is the general model's data set, before any run."""
    path = write(ran[0], SPECIFIC, "specific.toml")
    settings = settings_in(ran[0])
    return plan_unopened(load_suite(path), settings)


def test_a_general_model_is_trained_once_for_all_id_sets(ran, plan, store):
    _, outcome, done = ran
    assert [item.message for item in outcome.results if item.status != "ok"] == []
    assert set(plan.chains) == {
        ChainId("flow", "china", 0),
        ChainId("flow", "flower", 0),
        GENERAL,
    }
    assert str(GENERAL) == "general on both"
    assert plan.chains[GENERAL].epochs == {0, 1}
    trained = sorted(job for job in done if job.startswith("epoch"))
    assert trained == ["epoch 0"] * 3 + ["epoch 1"] * 3
    assert not any(missing_jobs(plan, store, chain) for chain in plan.chains.values())


def test_a_second_run_computes_nothing(ran):
    folder, outcome, _ = ran
    again, done = run_in(folder, folder / "suite.toml")
    assert done == []
    assert [item.to_json() for item in again.results] == [x.to_json() for x in outcome.results]


def test_its_record_is_that_of_a_comparison_with_its_data_set_for_id_set(specific, plan, store):
    assert specific.train_key(RIVER) == plan.train_key(GENERAL)
    jobs = missing_jobs(specific, store, specific.chains[RIVER])
    assert jobs  # statistics of other examples, and no epoch
    assert not {f"{RIVER} epoch 0", f"{RIVER} epoch 1"} & set(jobs)
    keys = {plan.train_key(chain) for chain in plan.chains}
    assert len(keys) == 3  # the flows are the same but for what they are trained on


def test_its_weights_are_those_of_a_training_by_hand(plan, store):
    chain = plan.chains[GENERAL]
    images = plan.prepared["both"].load("train")
    training = Training(chain.model, chain.domain, images, 0, torch.device("cpu"))
    training.start()
    training.run_epoch(lambda amount: None)
    weights, _ = training.state()
    manifest = store.manifest(CHECKPOINTS, checkpoint_key(plan.train_key(GENERAL), 1))
    assert manifest.files["model.safetensors"]["sha256"] == hashlib.sha256(weights).hexdigest()


@pytest.mark.parametrize("in_dataset", ["china", "flower"])
@pytest.mark.parametrize(("role", "out"), [("in", "noise"), ("out", "noise"), ("out", "both")])
def test_the_ratio_is_that_of_the_two_models(ran, plan, specific, store, in_dataset, role, out):
    _, outcome, _ = ran
    (result,) = (
        item
        for item in outcome.results
        if (item.cell.scorer, item.cell.in_dataset, item.cell.out_dataset, item.cell.epoch)
        == ("ratio", in_dataset, out, 1)
    )
    (planned,) = (item for item in plan.cells if item.cell == result.cell)
    draw = planned.reads["log_prob"][1 if role == "in" else 2].draw
    assert draw.dataset == (in_dataset if role == "in" else out)
    images = plan.prepared[draw.dataset].load("test")[draw.ids(40)]

    def log_prob(plan, chain):
        """From the weights, without any statistic."""
        found = plan.chains[chain]
        place = plan.checkpoint_key(chain, 1), torch.device("cpu")
        model = load_model(store, found.model, found.domain, *place)
        with torch.no_grad():
            return model.log_prob(torch.from_numpy(images)).double().numpy()

    general = log_prob(specific, RIVER)
    expected = general - log_prob(plan, ChainId("flow", in_dataset, 0))
    scores = result.scores_in if role == "in" else result.scores_out
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-3)
    assert np.abs(expected).max() > 1


def test_fitted_statistics_of_it_are_fitted_on_the_id_set_of_the_cell(plan, store):
    """Both ID sets are of one size, so that the same example numbers are drawn from them."""
    means = set()
    for job in plan.chains[GENERAL].jobs:
        if job.statistic == "fit_mean" and job.draw.role == "out":
            values = store.read_array(
                STATISTICS, plan.keys(store).statistic_key(job), "values.npy"
            )
            ids = job.fit.ids(40)
            ids = ids[len(ids) // 2 :]  # the half that serves all roles but its own
            images = plan.prepared[job.fit.dataset].load("test")[ids]
            np.testing.assert_allclose(values[:, 0], images.mean())
            means.add((job.fit.dataset, values[0, 0]))
    assert len(means) == len({mean for _, mean in means}) == 2


def test_seeds_are_those_of_the_cell(tmp_path):
    plan = make_plan(load_suite(write(tmp_path, SUITE + "    seeds = [0, 3]\n")), {})
    for planned in plan.cells:
        if (cell := planned.cell).scorer == "ratio":
            own, general = ({job.chain for job in jobs} for jobs in planned.reads.values())
            assert own == {ChainId("flow", cell.in_dataset, cell.seed)}
            assert general == {ChainId("general", "both", cell.seed)}
    assert [chain.seed for chain in plan.chains if chain.model == "general"] == [0, 3]


def test_tables_say_what_it_was_trained_on_and_which_score_has_seen_ood_data(ran):
    _, outcome, _ = ran
    pairs = [(scorer, out) for scorer in ("ratio", "means") for out in ("both", "both-again")]
    tables = auroc_tables(outcome.results)
    assert [table.in_dataset for table in tables] == ["china", "flower"]
    for table in tables:
        assert set(table.notes) == {TRAINED, FITTED, *(seen(*pair) for pair in pairs)}
    for result in outcome.results:
        cell, notes = result.cell, result.provenance["notes"]
        if cell.scorer == "log-likelihood":
            assert notes == []
        else:
            about = [] if cell.out_dataset == "noise" else [seen(cell.scorer, cell.out_dataset)]
            fitted = [FITTED] if cell.scorer == "means" else []
            assert notes == [TRAINED, *about, *fitted]


def test_results_and_pages_say_what_it_was_trained_on(ran, plan):
    folder, outcome, _ = ran
    result = next(item for item in outcome.results if item.cell.scorer == "ratio")
    origins = result.provenance["statistics"]
    assert origins["log_prob@general"]["trained_on"] == "both"
    assert origins["log_prob"]["trained_on"] == result.cell.in_dataset
    facts = gather(load_suite(folder / "suite.toml"), plan, outcome.results, 0)
    recipes = {model["name"]: model["recipe"] for model in facts.models}
    assert recipes["general"] == recipes["flow"] + ", dataset = 'both'"
    assert TRAINED in facts.notes


def test_limited_trainings_of_models_that_are_read_are_told(tmp_path):
    text = SUITE.replace("minibatch = 32", "minibatch = 32\n    examples = 48")
    suite = load_suite(write(tmp_path, text))
    own = "flow was trained on 48 random examples of the train split only"
    other = "general was trained on 48 random examples of the train split of both only"
    limited = {"log-likelihood": (own,), "ratio": (own, other), "means": (own, other)}
    assert notes_of(make_plan(suite, {})) == limited
    assert notes_of(make_plan(suite, prepared_with(49))) == limited
    # With no more examples than that in the split, all are used.
    assert notes_of(make_plan(suite, prepared_with(48))) == {
        "log-likelihood": (),
        "ratio": (TRAINED,),
        "means": (TRAINED,),
    }


def notes_of(plan):
    return {planned.cell.scorer: planned.notes for planned in plan.cells}


def prepared_with(examples):
    counts = {"train": examples, "test": 40}
    return {
        name: PreparedDataset(
            name, Images(1, 8, 8), Path(), name, counts, dict.fromkeys(counts, "")
        )
        for name in ("china", "flower", "both")
    }


def test_trainings_that_never_began_are_not_told(tmp_path):
    text = SUITE.replace("minibatch = 32", "minibatch = 32\n    examples = 48")
    assert "epochs = [0, 1]" in text
    suite = load_suite(write(tmp_path, text.replace("epochs = [0, 1]", "epochs = [0]")))
    assert notes_of(make_plan(suite, {}))["log-likelihood"] == ()


def test_pins_depend_on_what_it_was_trained_on(plan):
    planned = next(item for item in plan.cells if item.cell.scorer == "ratio")
    settings = cell_settings(plan, planned)
    prints = {name: plan.prepared[name].fingerprints["train"] for name in ("both", "china")}
    assert settings["training"]["train_split"] == prints["china"]
    assert settings["statistic log_prob@general"]["training"]["train_split"] == prints["both"]


@pytest.fixture
def apart(ran):
    """The suite without the general model's data set among the OOD sets."""
    text = SUITE.replace('["noise", "both", "both-again"]', '["noise"]')
    return load_suite(write(ran[0], text, "apart.toml"))


def test_its_data_set_and_records_are_needed(ran, apart, store):
    plan = plan_unopened(apart, settings_in(ran[0]))
    assert plan.needed_datasets() == ["both", "china", "flower", "noise"]
    needs = RequiredRecords()
    needs.add(plan, store, dict(apart.datasets))
    assert needs.unknown == {}
    assert (CHECKPOINTS, checkpoint_key(plan.train_key(GENERAL), 1)) in needs.records
    assert (DATASETS, digest(card_inputs(apart.datasets["both"]))) in needs.records
    assert plan.train_key(GENERAL) in needs.trainings
    results = score_stored(plan, settings_in(ran[0]), lambda event: None).results
    assert {note for item in results for note in item.provenance["notes"]} == {TRAINED, FITTED}


def elsewhere(ran, dataset):
    """The plan of the suite with the general model trained on another of its data sets."""
    text = SUITE.replace('dataset = "both"', f'dataset = "{dataset}"')
    return plan_unopened(load_suite(write(ran[0], text, f"{dataset}.toml")), settings_in(ran[0]))


def test_another_data_set_is_another_training_and_the_same_images_are_the_same(ran, store):
    plan, chain = elsewhere(ran, "noise"), ChainId("general", "noise", 0)
    assert f"{chain} epoch 1" in missing_jobs(plan, store, plan.chains[chain])
    reason = Reasons(plan, store).training(chain, 1)
    assert reason.startswith("the nearest stored record differs: train_split is ")
    plan, chain = elsewhere(ran, "both-again"), ChainId("general", "both-again", 0)
    assert missing_jobs(plan, store, plan.chains[chain]) == []
    plan, chain = elsewhere(ran, "flower"), ChainId("general", "flower", 0)
    assert plan.train_key(chain) == plan.train_key(ChainId("flow", "flower", 0))


def test_why_names_its_data_set_before_that_was_opened(tmp_path):
    plan = plan_unopened(load_suite(write(tmp_path)), settings_in(tmp_path))
    reason = Reasons(plan, Store(tmp_path / "store")).training(GENERAL, 1)
    assert reason == "data set 'both' has not been opened yet"


def test_an_id_set_that_is_not_there_is_no_mistake_of_its_statistics(ran, plan, store):
    """The general model's checkpoint is stored, but what a statistic is fitted on is not known."""
    (job,) = (
        job
        for job in plan.chains[GENERAL].jobs
        if (job.statistic, job.epoch, job.datasets()) == ("fit_mean", 1, ("noise", "china"))
    )
    assert plan.keys(store).has_statistic(job)
    fit = failure_inputs(plan, job)["fit"]
    assert fit["dataset"] == plan.prepared["china"].fingerprints["test"]
    del plan.prepared["china"]
    assert not plan.keys(store).has_statistic(job)
    assert str(job) not in missing_jobs(plan, store, plan.chains[GENERAL])
    reason = Reasons(plan, store).statistic(job)
    assert reason == "data set 'china' has not been opened yet"
    needs = RequiredRecords()
    needs.add(plan, store, dict(load_suite(ran[0] / "suite.toml").datasets))
    assert needs.unknown == {"suite": ["china"]}


def test_a_missing_data_set_of_it_is_lacking_in_the_cells_that_read_it(tmp_path):
    text = SUITE.replace(
        'plugin = "photos"\n    options = { n_train = 64, n_test = 40, seed = 7 }',
        'plugin = "folder"\n    options = { path = "absent", size = 8, channels = 1 }',
    ).replace('["noise", "both", "both-again"]', '["noise"]')
    suite = load_suite(write(tmp_path, text))
    with pytest.raises(MissingDataError, match="^8 of 12 cells lack data:\n  data set 'both': "):
        run(suite, settings_in(tmp_path), lambda event: None)
    outcome = run(suite, settings_in(tmp_path), lambda event: None, allow_missing=True)
    statuses = {(item.cell.scorer, item.status) for item in outcome.results}
    assert statuses == {
        ("log-likelihood", "ok"),
        ("ratio", "missing_data"),
        ("means", "missing_data"),
    }


def test_bench_check_tries_it(apart, tmp_path):
    plan = make_plan(apart, {})
    found = list(check_suite(apart, plan, Store(tmp_path), torch.device("cpu")))
    assert [item.problem for item in found if item.problem] == []
    names = [item.what for item in found]
    assert "general on 1x8x8" in names
    assert "general on 1x8x8: fit_mean" in names
