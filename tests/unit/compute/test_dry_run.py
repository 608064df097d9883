"""`bench check`: everything is tried without data, and only true problems are told."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from harness.cli.app import app
from harness.compute import dry_run
from harness.compute.dry_run import check_suite
from harness.errors import OptionError
from harness.plan.expand import make_plan
from harness.registry.options import validate_options
from harness.registry.registry import Registry
from harness.store.records import Store
from harness.store.timings import known_rate, statistic_work
from harness.suite import Component, load_suite

SCORERS = """
    [scorers.both]
    plugin = "ensemble"
    options = { scorers = ["gradient-gaussian", "input-complexity"] }

    [scorers.seeds]
    plugin = "waic"
    options = { seeds = [0, 1] }

    [scorers.ratio]
    plugin = "likelihood-ratio"
    options = { background = "flow" }
"""


@pytest.fixture
def every_scorer(tiny_suite):
    """A suite with all scorers of images; `hierarchical-ratio` needs two levels."""
    names = ["both", "seeds", "ratio"]
    for registered in Registry().entries("scorers"):
        try:
            validate_options(registered.load(), {})
        except OptionError:
            continue
        names.append(registered.entry.name)
    # The first needs one of two options, the next three a model of noise, the others text.
    of_noise, of_text = ("ddpm-ood", "diffusion-path", "score-norms"), ("mean-byte", "min-k")
    for name in ("waic", *of_noise, *of_text, "zlib-size"):
        names.remove(name)
    text = tiny_suite.read_text()
    listed = text[text.index("scorers = [") :].splitlines()[0]
    text = text.replace(listed, f"scorers = {names}").replace("levels = 1", "levels = 2")
    text = text.replace("epochs = [0, 2]", "epochs = 0").replace("[1, 5]", "[1, 2]")
    tiny_suite.write_text(text + "\n".join(map(str.strip, SCORERS.splitlines())))
    return tiny_suite


def test_every_scorer_passes(every_scorer, settings):
    suite = load_suite(every_scorer)
    found = list(
        check_suite(suite, make_plan(suite, {}), Store(settings.store), torch.device("cpu"))
    )
    assert [(item.what, item.problem, item.unsupported) for item in found if not item.passed] == []
    tried = {item.what.partition(": ")[2].partition(",")[0] for item in found}
    comparison = suite.suite.comparisons[0]
    assert set(comparison.scorers) - tried == {"ratio"}  # reads another model


def test_what_a_model_cannot_do_is_no_problem(tiny_suite, settings):
    names = '"hierarchical-ratio", "likelihood-regret", "png-size"'
    text = tiny_suite.read_text().replace('"typicality"', names)
    text = text.replace('"glow"', '"glow-linear"').replace("levels = 1", "ladj_constant = 1.0")
    tiny_suite.write_text(text)
    options = ["check", str(tiny_suite), f"--store={settings.store}", "--device=cpu"]
    done = CliRunner().invoke(app, options)
    assert "hierarchical-ratio" in done.output
    assert "n/a: " in done.output, done.output
    assert "likelihood-regret has no meaning" in " ".join(done.output.split())
    assert done.exit_code == 0, done.output


def test_speeds_leave_out_what_is_done_only_once(tiny_suite, settings, monkeypatch):
    """A build, and the first evaluation, which plans and imports, take long by this clock."""
    clock, begun = SimpleNamespace(now=0.0), []
    evaluate, build = dry_run.evaluate, Component.build

    def slowly_built(component, *given):
        clock.now += 500
        return build(component, *given)

    def slow(statistic, model, examples, *rest):
        clock.now += 2.0 * len(examples) + (1000 if statistic not in begun else 0)
        begun.append(statistic)
        return evaluate(statistic, model, examples, *rest)

    monkeypatch.setattr(dry_run, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(dry_run, "evaluate", slow)
    monkeypatch.setattr(Component, "build", slowly_built)
    suite, store = load_suite(tiny_suite), Store(settings.store)
    plan = make_plan(suite, {})
    for item in check_suite(suite, plan, store, torch.device("cpu")):
        assert item.passed, item
    for chain in plan.chains.values():
        for job, component in chain.jobs.items():
            work = statistic_work(component, chain.model, chain.domain, job.group_size)
            assert known_rate(store, work) == 2.0, job


def test_options_of_a_run_are_those_of_a_check(tiny_suite, tmp_path, monkeypatch):
    seen = []

    def checked(*given):
        seen.append((os.environ["BENCH_DATA"], torch.get_num_threads()))
        return []

    monkeypatch.setattr(dry_run, "check_suite", checked)
    before = torch.get_num_threads()
    options = ["check", str(tiny_suite), f"--data={tmp_path / 'mine'}", f"--threads={before + 2}"]
    done = CliRunner().invoke(app, options)
    assert (done.exit_code, seen) == (0, [(str(tmp_path / "mine"), before + 2)]), done.output
    assert torch.get_num_threads() == before
