"""Runs with saved epochs: the numbers of the same weights trained here, and nothing trained."""

from __future__ import annotations

import json
import re
import textwrap

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from harness.cli.app import app
from harness.compute.checkpoints import load_tensors
from harness.errors import SuiteError
from harness.events import EpochFinished, JobFailed, JobFinished
from harness.maintenance.required import RequiredRecords
from harness.plan.explain import Reasons
from harness.plan.jobs import ChainId
from harness.regression.pinned_settings import cell_settings
from harness.report.page.facts import gather
from harness.run.outcome import cached_outcome
from harness.run.prepare import missing_jobs, plan_opened_if_present
from harness.run.run import run
from harness.store.contents import find_records, record_problem
from harness.store.layout import CHECKPOINTS, OPTIMIZER, STATISTICS, VALUES, WEIGHTS
from harness.store.records import Store
from harness.suite import load_suite
from tests.places import settings_in
from tests.unit.compute import forms

TRAINED = """
    [training.brief]
    learning_rate = 1e-2
    minibatch = 64
    examples = 128

    [models.flow]
    plugin = "glow"
    options = { levels = 1, steps = 1, width = 4 }
    training = "brief"

    [datasets.digits]
    plugin = "digits"

    [datasets.noise]
    plugin = "noise"
    options = { n_train = 10, n_test = 40 }

    [[comparisons]]
    models = "flow"
    in = "digits"
    out = "noise"
    epochs = [0, 1, 2]
    seeds = [0, 1, 2]
    group_sizes = 5
    scorers = ["log-likelihood", "typicality", "gradient-gaussian"]
    n_in = 30
    n_fit = 30
    n_out = 30
"""
TABLE = '[models.flow.checkpoints]\n    files = "{files}"\n'
WAYS = ["plain", "lightning", "trainer_folder", "timm", "safetensors", "in_parts"]


def saved_suite(files, text=TRAINED, **changes):
    table = TABLE.replace("{files}", files)
    for name, value in {'training = "brief"': table, **changes}.items():
        assert name in text
        text = text.replace(name, value)
    return text


SMALL = saved_suite(
    "epoch_{epoch}.pt",
    TRAINED.replace(', "gradient-gaussian"', "").replace("seeds = [0, 1, 2]", "seeds = 0"),
)
"""One seed, and scorers of a moment."""


CONSTANT = """
import numpy as np
from oodbench import Entry, hookimpl


@hookimpl
def bench_scorers():
    return [Entry("same", ":Same", "the same score for all groups")]


class Same:
    inputs = ("log_prob",)

    def fit(self, statistics):
        return self

    def score(self, statistics):
        return np.zeros(len(statistics["log_prob"]))
"""

PUBLISHED = {
    "source": "a paper",
    "scorer": "log-likelihood",
    "examples": 100,
    "values": [{"in": "digits", "out": "noise", "group_size": 5, "epoch": 1, "auroc": 0.5}],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a store of three trainings, and the weights by seed and epoch."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "trained.toml").write_text(textwrap.dedent(TRAINED))
    outcome = run(load_suite(folder / "trained.toml"), settings_in(folder), lambda event: None)
    store = Store(folder / "store")
    weights = {
        (chain.seed, epoch): load_tensors(
            store.read(CHECKPOINTS, outcome.plan.checkpoint_key(chain, epoch), WEIGHTS)
        )
        for chain in outcome.plan.chains
        for epoch in (0, 1, 2)
    }
    return folder, outcome, weights


@pytest.fixture
def ready(tmp_path, trained):
    """A suite with the epochs 0, 1 and 2 of one training in files, not run yet."""
    (tmp_path / "small.toml").write_text(textwrap.dedent(SMALL))
    for epoch in (0, 1, 2):
        torch.save(trained[2][0, epoch], tmp_path / f"epoch_{epoch}.pt")
    return tmp_path


def ran(folder, suite="small.toml", only=()):
    events = []
    outcome = run(load_suite(folder / suite), settings_in(folder), events.append)
    return outcome, events


def numbers(outcome):
    return {result.cell: result.metrics for result in outcome.results}


def computed(events):
    return [event.job for event in events if isinstance(event, JobFinished)]


def failures(events):
    return [event.message for event in events if isinstance(event, JobFailed)]


def rewrite(folder, old, new):
    path = folder / "small.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("way", WAYS)
def test_all_numbers_are_those_of_the_training(tmp_path, trained, way):
    folder, expected, weights = trained
    scorers = '"log-likelihood", "typicality", "gradient-gaussian"'
    cheap = {} if way == "plain" else {scorers: '"log-likelihood", "typicality"'}
    text = saved_suite(f"{way}/{{seed}}/{{epoch}}.{way}", **cheap)
    suffix = {"lightning": ".ckpt", "trainer_folder": "", "in_parts": ""}.get(way, ".pt")
    suffix = ".safetensors" if way == "safetensors" else suffix
    text = text.replace(f"{{epoch}}.{way}", f"{{epoch}}{suffix}")
    keys = {"lightning": 'strip = "net."', "timm": 'state = "state_dict_ema"'}.get(way, "")
    path = tmp_path / "saved.toml"
    path.write_text(textwrap.dedent(text.replace("    files =", f"    {keys}\n    files =")))
    for (seed, epoch), state in weights.items():
        place = tmp_path / way / str(seed) / f"{epoch}{suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        getattr(forms, way)(place, state)

    outcome, events = ran(tmp_path, "saved.toml")

    assert outcome.exit_status == 0
    assert not [event for event in events if isinstance(event, EpochFinished)]
    found = numbers(outcome)
    assert found == {cell: value for cell, value in numbers(expected).items() if cell in found}
    store, other = Store(tmp_path / "store"), Store(folder / "store")
    keys = list(store.keys(STATISTICS))
    assert len(keys) >= 45
    for key in keys:  # the key has the checksum of the weights, so it is the same key
        values = [x.read_array(STATISTICS, key, VALUES) for x in (store, other)]
        np.testing.assert_array_equal(*values, strict=True)
    for key in store.keys(CHECKPOINTS):
        assert OPTIMIZER not in store.manifest(CHECKPOINTS, key).files


def test_a_second_run_has_nothing_to_do(ready):
    first, _ = ran(ready)
    again, events = ran(ready)
    assert computed(events) == []
    assert numbers(again) == numbers(first)


def test_a_file_that_changes_is_a_new_checkpoint(ready, trained):
    first, _ = ran(ready)
    torch.save(trained[2][1, 2], ready / "epoch_2.pt")  # the weights of another seed
    outcome, events = ran(ready)
    jobs = computed(events)
    assert jobs[0] == "epoch 2"
    assert len(jobs) == 6
    assert all(job == "epoch 2" or " epoch 2: " in job for job in jobs)
    expected = {
        cell._replace(seed=0): value
        for cell, value in numbers(trained[1]).items()
        if cell.epoch == 2 and cell.seed == 1
    }
    for cell, value in numbers(outcome).items():
        assert value == (expected[cell] if cell.epoch == 2 else numbers(first)[cell])


def test_a_report_does_not_print_numbers_of_a_file_that_has_changed(ready, trained):
    ran(ready)
    torch.save(trained[2][1, 2], ready / "epoch_2.pt")
    plan = plan_opened_if_present(load_suite(ready / "small.toml"), settings_in(ready))
    outcome = cached_outcome(plan, settings_in(ready))
    assert {cell.epoch for cell in outcome.pending} == {2}
    assert {result.cell.epoch for result in outcome.results} == {0, 1}


def test_the_same_weights_in_another_file_compute_nothing_but_the_file(ready, trained):
    first, _ = ran(ready)
    forms.plain(ready / "epoch_2.pt", trained[2][0, 2])
    outcome, events = ran(ready)
    assert computed(events) == ["epoch 2"]
    assert numbers(outcome) == numbers(first)


def test_epochs_with_equal_weights_are_an_error_unless_allowed(ready, trained):
    forms.plain(ready / "epoch_2.pt", trained[2][0, 1])  # not the same bytes
    outcome, events = ran(ready)
    copy = f"{ready}/epoch_2.pt has the same weights as {ready}/epoch_1.pt: one may be a copy"
    assert failures(events) == [message for message in failures(events) if copy in message] != []
    bad = [result for result in outcome.results if result.status != "ok"]
    assert {result.cell.epoch for result in bad} == {2}
    assert all(copy in result.message for result in bad)
    assert outcome.exit_status == 1

    rewrite(ready, "files =", "allow_equal = true\nfiles =")
    outcome, _ = ran(ready)
    assert outcome.exit_status == 0
    values = numbers(outcome)
    assert {values[cell] for cell in values if cell.epoch == 1} == {
        values[cell] for cell in values if cell.epoch == 2
    }

    rewrite(ready, "allow_equal = true", "allow_equal = false")
    outcome, _ = ran(ready)
    assert {x.cell.epoch for x in outcome.results if x.status == "failed"} == {2}


@pytest.mark.parametrize("first", ["epochs = [0, 1]", "epochs = [0, 2]"])
def test_equal_epochs_are_found_when_they_come_one_after_the_other(ready, trained, first):
    forms.plain(ready / "epoch_2.pt", trained[2][0, 1])
    rewrite(ready, "epochs = [0, 1, 2]", first)
    assert ran(ready)[0].exit_status == 0
    rewrite(ready, first, "epochs = [0, 1, 2]")
    for _ in range(2):
        outcome, _ = ran(ready)
        bad = [result for result in outcome.results if result.status == "failed"]
        assert {result.cell.epoch for result in bad} == {2}
        assert all("has the same weights as" in result.message for result in bad)
    torch.save(trained[2][0, 2], ready / "epoch_2.pt")
    assert ran(ready)[0].exit_status == 0


def test_a_damaged_file_fails_its_epoch_alone_and_leaves_nothing(ready):
    path = ready / "epoch_1.pt"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    outcome, events = ran(ready)
    bad = [result for result in outcome.results if result.status == "failed"]
    assert {result.cell.epoch for result in bad} == {1}
    assert all(f"{path} is damaged" in result.message for result in bad)
    assert len(failures(events)) == 1
    assert len(list(Store(ready / "store").keys(CHECKPOINTS))) == 2
    assert not any((ready / "store" / "tmp").iterdir())
    path.write_bytes(whole)
    assert ran(ready)[0].exit_status == 0


def test_a_model_that_cannot_be_built_is_not_applicable(ready):
    rewrite(ready, "levels = 1", "levels = 5")
    outcome, _ = ran(ready)
    assert {result.status for result in outcome.results} == {"unsupported"}


def test_a_damaged_checkpoint_in_the_store_is_read_again(ready):
    first, _ = ran(ready)
    store = Store(ready / "store")
    key = first.plan.checkpoint_key(ChainId("flow", "digits", 0), 1)
    path = store.path(CHECKPOINTS, key) / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])
    for statistic in list(store.keys(STATISTICS)):
        if "epoch 1" in store.manifest(STATISTICS, statistic).facts["job"]:
            store.quarantine(STATISTICS, statistic)
    outcome, events = ran(ready)
    assert computed(events)[0] == "epoch 1"
    assert any("set aside, read again" in getattr(event, "text", "") for event in events)
    assert numbers(outcome) == numbers(first)


def test_records_are_sound_and_needed(ready):
    outcome, _ = ran(ready)
    store, suite = Store(ready / "store"), load_suite(ready / "small.toml")
    needs = RequiredRecords()
    needs.add(outcome.plan, store, dict(suite.datasets))
    records = list(find_records(store, (CHECKPOINTS, STATISTICS)))
    assert len(records) == 3 + 15
    assert [record_problem(store, record) for record in records] == [""] * len(records)
    assert all(needs.includes(record) for record in records)
    assert {record.train_key for record in records if record.train_key} <= set(needs.trainings)


def test_notes_say_what_is_known_about_the_training(ready):
    outcome, _ = ran(ready)
    (note,) = {note for x in outcome.results for note in x.provenance["notes"] if "here" in note}
    assert note == (
        "flow was not trained here, and the suite does not say on which data; the results hold if "
        "it was trained on digits"
    )
    facts = gather(load_suite(ready / "small.toml"), outcome.plan, outcome.results, 0)
    assert facts.models[0]["recipe"] == "not trained here: epochs in epoch_{epoch}.pt"
    rewrite(ready, 'plugin = "glow"', 'plugin = "glow"\ndataset = "digits"')
    outcome, events = ran(ready)
    assert computed(events) == []
    (note,) = {note for x in outcome.results for note in x.provenance["notes"] if "here" in note}
    assert note == "flow was not trained here; according to the suite it was trained on digits"


def test_without_a_data_set_any_may_be_in_distribution(ready):
    rewrite(ready, '\nin = "digits"', '\nin = ["digits", "photos"]')
    rewrite(ready, "[datasets.noise]", '[datasets.photos]\nplugin = "photos"\n\n[datasets.noise]')
    rewrite(ready, 'plugin = "photos"', 'plugin = "photos"\noptions = { size = 8, channels = 1 }')
    outcome, events = ran(ready)
    assert outcome.exit_status == 0
    assert {result.cell.in_dataset for result in outcome.results} == {"digits", "photos"}
    assert computed(events).count("epoch 1") == 1, "both data sets share the record"
    rewrite(ready, 'plugin = "glow"', 'plugin = "glow"\ndataset = "digits"')
    with pytest.raises(SuiteError, match="'flow' is always trained on 'digits'"):
        load_suite(ready / "small.toml")


def test_a_data_set_without_a_train_split_can_be_in_distribution(ready):
    plugin = """
        import numpy as np
        from oodbench import Entry, Images, hookimpl


        @hookimpl
        def bench_datasets():
            return [Entry("tests-only", ":TestsOnly", "test")]


        class TestsOnly:
            domain = Images(channels=1, height=8, width=8)
            splits = ("test",)

            def load(self, split):
                return np.random.default_rng(0).integers(0, 16, (80, 1, 8, 8)).astype(np.uint8)
    """
    (ready / "plugin.py").write_text(textwrap.dedent(plugin))
    rewrite(ready, '\nin = "digits"', '\nin = "tests-only"')
    path = ready / "small.toml"
    path.write_text('plugins.paths = ["plugin.py"]\n' + path.read_text())
    assert ran(ready)[0].exit_status == 0


def test_steps_are_named_in_all_that_is_printed_and_written(ready):
    rewrite(ready, "epoch_{epoch}.pt", "epoch_{step}.pt")
    rewrite(ready, '"typicality"]', '"typicality", "same"]')
    (ready / "plugin.py").write_text(CONSTANT)
    path = ready / "small.toml"
    path.write_text('plugins.paths = ["plugin.py"]\nreference = "r.json"\n' + path.read_text())
    (ready / "r.json").write_text(json.dumps(PUBLISHED))
    places = [str(path), "--store", str(ready / "store"), "--data", str(ready / "data")]

    def output(*words, names=places):
        done = CliRunner().invoke(app, [words[0], *names, *words[1:]], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        text = (
            done.output.replace(str(ready), "").replace("epoch_{step}", "").replace("--epochs", "")
        )
        assert not re.search("epoch(?!_.\\.pt)", text), text
        return text

    output("plan", "--why")
    display = ("--display", "plain", "--executor", "sequential", "--device", "cpu")
    text = output("run", *display)
    assert re.search(r"^scorer +step +bits/dim", text, re.MULTILINE)
    assert "at that step" in text
    assert "flow at step " in text
    assert "same at step 1 against noise: all scores are equal" in text
    assert re.search("^out +group size +step +ours +published", text, re.MULTILINE)
    log = next((ready / "store" / "runs").glob("*/*/events.jsonl")).read_text()
    found = [json.loads(line) for line in log.splitlines()]
    names = [event[name] for event in found for name in ("job", "step") if name in event]
    assert {"flow on digits step 1: log_prob of noise (out)", "step 1"} <= set(names)
    assert not [name for name in names if "epoch" in name]
    assert "steps stored" in output("plan", "--why")
    output("report")
    assert "groups for an earlier step" in output("report", "--epochs")
    assert "data sets, step, group size" in output("report", "--ranking", "scorers")
    output("store", names=["ls", "--store", str(ready / "store")])
    records = map(str, find_records(Store(ready / "store"), (CHECKPOINTS, STATISTICS)))
    assert not [name for name in records if "epoch" in name]


def test_steps_are_named_in_json_and_on_the_page(ready):
    rewrite(ready, "epoch_{epoch}.pt", "epoch_{step}.pt")
    ran(ready)
    path = str(ready / "small.toml")
    arguments = [path, "--store", str(ready / "store"), "--data", str(ready / "data")]

    def output(*words):
        done = CliRunner().invoke(app, ["report", *arguments, *words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    found = json.loads(output("--format", "json"))
    assert {row["provenance"]["unit"] for row in found["results"]} == {"step"}
    rows = json.loads(output("--epochs", "--format", "json"))["epochs"]
    assert {row["unit"] for row in rows} == {"step"}
    output("--html", str(ready / "page.html"))
    page = (ready / "page.html").read_text()
    assert '"unit":"step"' in page
    assert "Along the steps</h2>" in page


def test_check_reads_the_files_and_reports(ready, trained):
    forms.parallel(ready / "epoch_1.pt", trained[2][0, 1])
    torch.save(trained[2][0, 0], ready / "epoch_2.pt")
    arguments = [str(ready / "small.toml"), "--store", str(ready / "store"), "--device", "cpu"]
    done = CliRunner().invoke(app, ["check", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 1
    found = [row for row in json.loads(done.stdout) if ": epoch " in row["what"]]
    assert [row["problem"] == "" for row in found] == [True, True, False]
    assert "prefix of a wrapper removed" in found[1]["detail"]
    assert f"{ready}/epoch_2.pt has the same weights as" in found[2]["problem"]
    assert not list(Store(ready / "store").keys(CHECKPOINTS)), "a check stores no results"


def test_plan_shows_the_files(ready):
    arguments = [str(ready / "small.toml"), "--store", str(ready / "store")]
    arguments += ["--data", str(ready / "data")]
    done = CliRunner().invoke(app, ["plan", *arguments, "--why"], catch_exceptions=False)
    assert "flow: 3 epochs in epoch_{epoch}.pt, read and never trained" in done.output
    ran(ready)
    (ready / "epoch_2.pt").write_bytes((ready / "epoch_2.pt").read_bytes() + b" ")
    done = CliRunner().invoke(app, ["plan", *arguments, "--why"], catch_exceptions=False)
    assert f"read epoch 2 from {ready}/epoch_2.pt: the nearest stored record differs: saved." in (
        done.output
    )


def test_missing_jobs_and_reasons_know_copies(ready, trained):
    forms.plain(ready / "epoch_2.pt", trained[2][0, 1])
    outcome, _ = ran(ready)
    store, chain = Store(ready / "store"), ChainId("flow", "digits", 0)
    jobs = missing_jobs(outcome.plan, store, outcome.plan.chains[chain])
    assert jobs[0] == "flow on digits epoch 2"
    assert Reasons(outcome.plan, store).training(chain, 2) == "its weights are those of 1"


def test_pins_notice_other_weights(ready, trained):
    outcome, _ = ran(ready)

    def settings(outcome):
        return {
            planned.cell: cell_settings(outcome.plan, planned) for planned in outcome.plan.cells
        }

    before = settings(outcome)
    torch.save(trained[2][1, 2], ready / "epoch_2.pt")
    after = settings(ran(ready)[0])
    assert {cell.epoch for cell in before if before[cell] != after[cell]} == {2}
