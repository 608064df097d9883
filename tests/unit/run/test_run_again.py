"""The same command again computes nothing, whatever a suite asks for."""

from __future__ import annotations

import json
import textwrap
from itertools import product

import pytest

from harness import events
from harness.registry.registry import Registry
from harness.run.prepare import missing_jobs, plan_unopened
from harness.run.run import run
from harness.store.records import Store
from harness.suite import load_suite
from tests.places import settings_in

SUITE = """
    [training.brief]
    minibatch = 16
    examples = 16

    [models.levels]
    plugin = "glow"
    options = { levels = 2, steps = 1, width = 4 }
    training = "brief"

    [models.flat]
    plugin = "glow-linear"
    options = { steps = 1, width = 4, hidden_layers = 1 }
    training = "brief"

    [datasets]
    digits.plugin = "digits"
    noise.plugin = "noise"
    noise.options = { n_train = 4, n_test = 8 }

    [[comparisons]]
    models = ["levels", "flat"]
    in = "digits"
    out = "noise"
    epochs = 1
    n_in = 6
    n_fit = 6
    n_out = 6
"""

OPTIONS = {
    "ensemble": {"scorers": ["log-likelihood", "typicality"]},
    "gradient-iforest": {"trees": 5},
    "likelihood-ratio": {"background": "flat"},
    "waic": {"seeds": [0, 1]},
}
"""Options that a scorer requires, or that make a scorer fast."""


def suite_text(scorers):
    """The suite with all scorers, each with its options."""
    lines = [textwrap.dedent(SUITE), f"scorers = {json.dumps(scorers)}"]
    for name in scorers:
        lines += [f"[scorers.{json.dumps(name)}]", f"plugin = {json.dumps(name)}"]
        options = ", ".join(f"{k} = {json.dumps(v)}" for k, v in OPTIONS.get(name, {}).items())
        lines.append(f"options = {{ {options} }}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A suite with every registered scorer that ran once: path, settings and outcome."""
    folder = tmp_path_factory.mktemp("ran")
    path = folder / "suite.toml"
    path.write_text(suite_text(Registry().names("scorers")), encoding="utf-8")
    settings = settings_in(folder)
    return path, settings, run(load_suite(path), settings, lambda event: None)


def test_every_scorer_has_a_number_or_does_not_apply(ran):
    _, _, outcome = ran
    assert {(x.cell.scorer, x.message) for x in outcome.results if x.status == "failed"} == set()
    lacking = {(x.cell.model, x.cell.scorer) for x in outcome.results if x.status != "ok"}
    of_text = set(product(("flat", "levels"), ("mean-byte", "min-k", "zlib-size")))
    of_noise = set(product(("flat", "levels"), ("ddpm-ood", "diffusion-path", "score-norms")))
    assert lacking == {("flat", "hierarchical-ratio")} | of_text | of_noise
    assert outcome.exit_status == 0


def test_the_second_run_computes_nothing(ran):
    path, settings, outcome = ran
    plan = plan_unopened(load_suite(path), settings)
    store = Store(settings.store)
    assert [missing_jobs(plan, store, chain) for chain in plan.chains.values()] == [[]] * len(
        plan.chains
    )
    seen = []
    again = run(load_suite(path), settings, seen.append)
    assert not [x for x in seen if isinstance(x, events.JobFinished | events.JobFailed)]
    assert [x.to_json() for x in again.results] == [x.to_json() for x in outcome.results]
