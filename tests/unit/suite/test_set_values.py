"""`--set`: values of the command line are values of the suite, with the same mistakes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import SuiteError
from harness.plan.expand import make_plan
from harness.run.prepare import plan_unopened
from harness.run.saved import results_folder
from harness.store.records import Store
from harness.suite import load_suite


def told(path, *changes):
    with pytest.raises(SuiteError) as caught:
        load_suite(path, changes=changes)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        ("training.brief.learning_rate=3e-3", "learning_rate = 1e-3", "learning_rate = 3e-3"),
        ("training.brief.optimizer=adam", "minibatch = 64", 'minibatch = 64\noptimizer = "adam"'),
        ('training.brief.optimizer="adam"', "1e-3", '1e-3\noptimizer = "adam"'),
        (" training.brief.minibatch = 32 ", "minibatch = 64", "minibatch = 32"),
        ("models.flow.options.steps=2", "steps = 1", "steps = 2"),
        ("models.'flow'.options={levels = 1, width = 8}", "steps = 1, width = 4", "width = 8"),
        ("datasets.digits.options={}", 'plugin = "digits"', 'plugin = "digits"\noptions = {}'),
        ("comparisons[0].epochs=[0, 3]", "epochs = [0, 2]", "epochs = [0, 3]"),
        ("comparisons[0].epochs[1]=3", "epochs = [0, 2]", "epochs = [0, 3]"),
        ("comparisons[0].seeds=4", "scorers = [", "seeds = 4\nscorers = ["),
        ("protocol.draw_seed=3", "[[comparisons]]", "[protocol]\ndraw_seed = 3\n[[comparisons]]"),
        ("title=Ours", 'title = "Tiny"', 'title = "Ours"'),
    ],
)
def test_a_value_is_as_in_the_file(tiny_suite, change, old, new):
    changed = load_suite(tiny_suite, changes=[change])
    text = tiny_suite.read_text()
    assert old in text
    tiny_suite.write_text(text.replace(old, new))
    suite = load_suite(tiny_suite)
    assert changed.suite == suite.suite
    assert changed.fingerprint() == suite.fingerprint()
    assert changed.changes == (change,)


def test_several_values_and_keys(tiny_suite, settings):
    plain = plan_unopened(load_suite(tiny_suite), settings)
    changes = ["training.brief.minibatch=32", "training.brief.examples=128"]
    changed = plan_unopened(load_suite(tiny_suite, changes=changes), settings)
    both = [next(iter(plan.chains.values())).model.recipe for plan in (plain, changed)]
    assert [(recipe.minibatch, recipe.examples) for recipe in both] == [(64, 256), (32, 128)]
    assert plain.suite_fingerprint != changed.suite_fingerprint
    folders = {results_folder(plan, Store(settings.store)) for plan in (plain, changed)}
    assert len(folders) == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            "training.brief.learning_rat=1",
            "training.brief.learning_rat: unknown key (did you mean 'learning_rate'?)",
        ),
        (
            "training.brief.learning_rate=fast",
            "training.brief.learning_rate: input should be a valid number, not 'fast'",
        ),
        (
            "training.breif.learning_rate=1",
            "training.breif.learning_rate: the suite has no table [training.breif] "
            "(did you mean 'brief'?)",
        ),
        (
            "scorers.typicality.options.x=1",
            "scorers.typicality.options.x: the suite has no table [scorers.typicality] "
            "(none is known)",
        ),
        ("trainig.brief.examples=1", "trainig: unknown key (did you mean 'training'?)"),
        (
            "models.flow.options.stepps=2",
            "models.flow.options.stepps: unknown option (did you mean 'steps'?)",
        ),
        (
            "models.flow.training=breif",
            "models.flow.training: there is no training recipe 'breif' (did you mean 'brief'?)",
        ),
        (
            "models.flow={plugin = 'glwo', training = 'brief'}",
            "models.flow.plugin: there is no model plugin 'glwo' (did you mean 'glow'?)",
        ),
        (
            "comparisons[0].epochs=[1, -1]",
            "comparisons[0].epochs[1]: input should be greater than or equal to 0, not -1",
        ),
        (
            "comparisons[0].scorers=waic",
            "scorers.waic.options: waic: give either seeds or epochs, for example "
            "seeds = [0, 1, 2]",
        ),
        ("comparisons[1].epochs=1", "comparisons[1].epochs: the last is comparisons[0]"),
        ("title.text=1", "title: not a table"),
        ("training[0]=1", "training: not a list"),
        ("title", "expected KEY=VALUE, for example training.NAME.learning_rate=3e-3"),
        ("=1", "expected KEY=VALUE, for example training.NAME.learning_rate=3e-3"),
        (
            "include=[]",
            "include: cannot be set: included files are read before values are set",
        ),
        (
            "plugins.paths=[]",
            "plugins.paths: cannot be set: plugins are loaded before values are set; use -p",
        ),
        ("comparisons=[]", "comparisons: "),
    ],
)
def test_mistakes_name_the_option(tiny_suite, change, expected):
    lines = told(tiny_suite, change)
    assert any(line.startswith(f"--set {change}: {expected}") for line in lines), lines


def test_mistakes_of_file_and_options_are_told_together(tiny_suite):
    tiny_suite.write_text(tiny_suite.read_text().replace('plugin = "noise"', 'plugin = "nosie"'))
    lines = told(tiny_suite, "title=[]", "nothing")
    assert [line.partition(": ")[0] for line in lines] == [
        "--set nothing",
        "--set title=[]",
        f"{tiny_suite}:18",
    ]


def test_two_comparisons_at_odds_by_an_option(tiny_suite):
    text = tiny_suite.read_text()
    tiny_suite.write_text(text + text[text.index("[[comparisons]]") :])
    make_plan(load_suite(tiny_suite), {})
    with pytest.raises(SuiteError, match=rf"^{tiny_suite}:\d+: comparisons\[1\]: two comparisons"):
        make_plan(load_suite(tiny_suite, changes=["comparisons[1].n_in=20"]), {})


def test_commands_compute_and_show_what_was_set(tiny_suite, settings):
    change = "training.brief.minibatch=32"
    few = "--only=out=noise", "--only=epoch=0", "--only=group_size=5"
    places = f"--store={settings.store}", f"--data={settings.data}"
    options = str(tiny_suite), f"--set={change}", *few, *places
    done = CliRunner().invoke(app, ["run", *options, "--device=cpu", "--display=none"])
    assert done.exit_code == 0, done.output
    assert f"Tiny, with {change}" in done.stdout
    page = tiny_suite.with_name("page.html")
    shown = CliRunner().invoke(app, ["report", *options, f"--html={page}"])
    assert f"Tiny, with {change}" in shown.stdout
    assert f"<title>Tiny, with {change}" in page.read_text()
    assert f"bench run {tiny_suite} --set={change}" in page.read_text()
    told = json.loads(CliRunner().invoke(app, ["report", *options, "--format=json"]).stdout)
    assert (told["suite"], told["set"], len(told["results"])) == ("tiny", [change], 3)
    planned = json.loads(CliRunner().invoke(app, ["plan", *options, "--json"]).stdout)
    assert (planned["set"], planned["cells"]["new"]) == ([change], 0)
    (saved,) = (settings.store / "results").rglob("results.json")
    assert json.loads(saved.read_text())["set"] == [change]
    plain = json.loads(
        CliRunner().invoke(app, ["plan", str(tiny_suite), *few, *places, "--json"]).stdout
    )
    assert (plain["set"], plain["cells"]["new"]) == ([], 3)
    nothing = CliRunner().invoke(app, ["report", str(tiny_suite), *few, *places])
    command = " ".join(["bench run", str(tiny_suite), *few, *places])
    assert str(nothing.exception) == (
        f"no results of {tiny_suite} are stored in {settings.store}; run: {command}"
    )
