"""What a model cannot have is remembered like a result: `n/a`, and never tried again."""

from __future__ import annotations

import json
import textwrap

import pytest
from typer.testing import CliRunner

from harness import events
from harness.cli.app import app
from harness.cli.display.progress import headline
from harness.maintenance.export import export_suite
from harness.maintenance.gc import find_garbage
from harness.maintenance.import_archive import import_archive
from harness.maintenance.required import RequiredRecords
from harness.regression.make_pins import make_pins
from harness.regression.verify_pins import unpinned
from harness.report.render.formats import render
from harness.report.summary import summary
from harness.run.outcome import score_stored
from harness.run.prepare import missing_jobs, plan_unopened
from harness.run.run import run
from harness.store.records import Store
from harness.suite import load_suite
from tests.places import settings_in

PLUGIN = """
import numpy as np
import torch
from oodbench import DomainError, Entry, UnsupportedError, hookimpl


@hookimpl
def bench_models():
    return [Entry("plain", ":Plain", "test"), Entry("lunar", ":Lunar", "test")]


@hookimpl
def bench_statistics():
    return [Entry("orbit", ":Orbit", "test"), Entry("clumsy", ":Clumsy", "test")]


@hookimpl
def bench_scorers():
    return [Entry("orbit", ":OrbitScorer", "test"), Entry("clumsy", ":ClumsyScorer", "test"),
            Entry("both", ":Both", "test"), Entry("choosy", ":Choosy", "test")]


class Plain(torch.nn.Module):
    likelihood = "unnormalized"
    has_orbit = False

    def __init__(self, domain):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(domain.dims))

    def log_prob(self, x):
        return x.flatten(1).to(self.weight.dtype) @ (self.weight + 1)


class Lunar(Plain):
    def __init__(self, domain):
        raise DomainError(f"only for images of the moon, not {domain}")


class Orbit:
    per = "example"

    def features(self, model):
        return ["orbit"]

    def __call__(self, model, groups):
        if not model.has_orbit:
            name = type(model).__name__
            raise UnsupportedError(f"orbit needs a model with an orbit; {name} has none")
        return np.zeros((len(groups), 1))


class Clumsy(Orbit):
    def __call__(self, model, groups):
        raise ValueError("stumbled")


class LogProb:
    inputs = ("log_prob",)

    def fit(self, statistics):
        return self

    def score(self, statistics):
        return -statistics["log_prob"].mean((1, 2))


class OrbitScorer(LogProb):
    inputs = ("log_prob", "orbit")


class ClumsyScorer(LogProb):
    inputs = ("clumsy",)


class Both(LogProb):
    inputs = ("clumsy", "orbit")


class Choosy(LogProb):
    def fit(self, statistics):
        raise UnsupportedError("choosy is for other models")
"""

SUITE = """
    plugins.paths = ["plugin.py"]

    [training.brief]
    minibatch = 32
    examples = 64

    [models]
    plain = { plugin = "plain", training = "brief" }
    lunar = { plugin = "lunar", training = "brief" }

    [datasets]
    digits.plugin = "digits"
    noise.plugin = "noise"
    noise.options = { n_train = 10, n_test = 40 }

    [[comparisons]]
    models = ["plain", "lunar"]
    in = "digits"
    out = "noise"
    epochs = [0, 1]
    scorers = ["log-likelihood", "orbit", "choosy"]
    n_in = 20
    n_fit = 20
    n_out = 20
"""

NO_ORBIT = "plain on digits: orbit: orbit needs a model with an orbit; Plain has none"
NO_MOON = "lunar on digits: training: only for images of the moon, not 1x8x8"


class Place:
    """A folder with a suite to run, and the events of the last run."""

    def __init__(self, folder):
        self.path, self.settings = folder / "suite.toml", settings_in(folder)
        self.write()

    def write(self, text=SUITE, plugin=PLUGIN):
        self.path.write_text(textwrap.dedent(text), encoding="utf-8")
        self.path.with_name("plugin.py").write_text(plugin, encoding="utf-8")

    def plan(self):
        return plan_unopened(load_suite(self.path), self.settings)

    def run(self):
        self.events = []
        return run(load_suite(self.path), self.settings, self.events.append)

    @property
    def jobs(self):
        (started,) = [event for event in self.events if isinstance(event, events.RunStarted)]
        return started.jobs

    @property
    def lines(self):
        return [line for event in self.events if (line := headline(event))]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A place where the suite ran once; tests that only read share it."""
    found = Place(tmp_path_factory.mktemp("ran"))
    found.outcome = found.run()
    return found


def statuses(outcome):
    return {(x.cell.model, x.cell.scorer): x.status for x in outcome.results}


STATUSES = {
    ("plain", "log-likelihood"): "ok",
    ("plain", "orbit"): "unsupported",
    ("plain", "choosy"): "unsupported",
    ("lunar", "log-likelihood"): "unsupported",
    ("lunar", "orbit"): "unsupported",
    ("lunar", "choosy"): "unsupported",
}


def test_the_second_run_computes_nothing_and_both_end_well(place):
    first = place.run()
    assert place.jobs > 0
    assert statuses(first) == STATUSES
    assert first.exit_status == 0
    second = place.run()
    assert place.jobs == 0
    assert statuses(second) == STATUSES
    assert [x.message for x in second.results] == [x.message for x in first.results]
    assert second.exit_status == 0
    assert place.lines == ["suite: nothing to compute, 12 cells"]


def test_a_run_says_so_once_for_each_model_and_statistic(ran):
    assert [line for line in ran.lines if line.startswith("n/a")] == [
        f"n/a: {NO_ORBIT}",
        f"n/a: {NO_MOON}",
    ]
    assert not any("failed" in line for line in ran.lines)


def test_the_reason_is_the_same_for_all_epochs(ran):
    messages = {(x.cell.model, x.cell.scorer): set() for x in ran.outcome.results}
    for x in ran.outcome.results:
        messages[x.cell.model, x.cell.scorer].add(x.message)
    assert messages["plain", "orbit"] == {NO_ORBIT}
    assert messages["lunar", "orbit"] == messages["lunar", "log-likelihood"] == {NO_MOON}
    assert messages["plain", "choosy"] == {"choosy is for other models"}


def test_a_plan_has_no_job_for_them(ran):
    plan, store = ran.plan(), Store(ran.settings.store)
    assert [missing_jobs(plan, store, chain) for chain in plan.chains.values()] == [[], []]


def test_tables_and_sentences_say_that_they_do_not_apply(ran):
    results = ran.outcome.results
    shown = render(results, suite="suite", title="Suite", format="markdown")
    assert f"- n/a (2 results): {NO_ORBIT}" in shown
    assert "unsupported" not in shown
    assert ",unsupported," in render(results, suite="suite", title="Suite", format="csv")
    first, *others = summary(results)
    assert first == "2 of 12 cells have a number; 10 do not apply (n/a)."
    assert not any("without a number" in sentence for sentence in others)


@pytest.mark.parametrize(
    "changed",
    [
        PLUGIN.replace("has_orbit = False", "has_orbit = True"),
        PLUGIN.replace("if not model.has_orbit", "if False"),
    ],
    ids=["model", "statistic"],
)
def test_a_new_version_of_the_plugin_is_tried(place, changed):
    place.run()
    place.write(plugin=changed)
    outcome = place.run()
    assert place.jobs > 0
    assert statuses(outcome) == STATUSES | {("plain", "orbit"): "ok"}


def test_a_new_version_of_the_distribution_is_tried_though_no_number_changes(place):
    declared = PLUGIN.replace('Plain", "test"', 'Plain", "test", version="1"')
    declared = declared.replace('Orbit", "test"', 'Orbit", "test", version="1"')
    place.write(plugin=declared)
    place.run()
    place.write(plugin=declared.replace("has_orbit = False", "has_orbit = True"))
    outcome = place.run()
    assert statuses(outcome)["plain", "orbit"] == "ok"
    finished = [event.job for event in place.events if isinstance(event, events.JobFinished)]
    assert len(finished) == 2 * 3  # orbit at both epochs, for three roles; nothing else
    assert all(": orbit of " in job for job in finished)


FAILING = SUITE.replace('"orbit", "choosy"]', '"clumsy", "both"]')


def test_a_failure_is_tried_again_and_ends_with_1(place):
    place.write(FAILING)
    outcome = place.run()
    assert outcome.exit_status == 1
    assert statuses(outcome)["plain", "clumsy"] == "failed"
    assert any(line.startswith("failed: plain on digits epoch 0: clumsy") for line in place.lines)
    again = place.run()
    assert place.jobs == 2 * 3  # clumsy at both epochs, for three roles
    assert again.exit_status == 1


def test_what_cannot_be_outweighs_what_failed(place):
    place.write(FAILING)
    assert statuses(place.run())["plain", "both"] == "unsupported"


def test_pins_leave_them_out_without_a_word(ran):
    made, problems = make_pins(load_suite(ran.path), ran.settings, lambda event: None, 0.004)
    assert problems == []
    assert {pin.cell.scorer for pin in made.pins} == {"log-likelihood"}
    outcome = score_stored(ran.plan(), ran.settings, lambda event: None)
    assert unpinned(made, outcome.plan, outcome.results) == []


def test_they_are_needed_like_results_and_travel_with_them(ran, tmp_path):
    suite, store = load_suite(ran.path), Store(ran.settings.store)
    needs = RequiredRecords()
    needs.add(ran.plan(), store, dict(suite.datasets))
    garbage = find_garbage(store, needs)
    items = [*garbage.found, *(item for item, _ in garbage.kept)]
    assert [item.what for item in items if item.kind == "failures"] == []
    archive = tmp_path / "suite.zip"
    export_suite(ran.plan(), dict(suite.datasets), store, archive, False, lambda size: None)
    elsewhere = Store(tmp_path / "elsewhere")
    import_archive(archive, elsewhere, lambda size: None)
    plan = ran.plan()
    assert [missing_jobs(plan, elsewhere, chain) for chain in plan.chains.values()] == [[], []]


def command(place, name, *options):
    settings = place.settings
    where = ["--store", str(settings.store), "--data", str(settings.data)]
    return CliRunner().invoke(app, [name, str(place.path), *where, *options])


def test_the_commands_say_so_and_end_with_0(ran):
    done = command(ran, "run", "--display", "plain", "--executor", "sequential", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "suite: nothing to compute, 12 cells" in done.stderr
    assert "failed" not in done.output
    assert command(ran, "report").exit_code == 0
    found = json.loads(command(ran, "plan", "--json").stdout)
    assert found["cells"] == {"all": 12, "new": 0, "unsupported": 8}  # choosy needs its scores
    reasons = {job["unsupported"] for chain in found["chains"] for job in chain["jobs"]}
    assert reasons == {None, NO_ORBIT, NO_MOON}
    shown = command(ran, "plan", "--why").stdout
    assert "12 cells, 0 of them new, 8 not applicable (n/a)" in shown
    assert shown.endswith(
        f"plain on digits\n  n/a: {NO_ORBIT}\n\nlunar on digits\n  n/a: {NO_MOON}\n"
    )
