"""Scorers are told the columns of what they read, and those are the same for every role."""

from __future__ import annotations

import json
import re

import pytest

from harness.cli.display.displays import NoDisplay
from harness.run.run import run
from harness.suite import load_suite

PLUGIN = """
import itertools
import numpy as np
from oodbench import Entry, Images, hookimpl
import torch


@hookimpl
def bench_scorers():
    return [Entry("told", ":Told", "test"), Entry("terms", ":Terms", "test"),
            Entry("reads-flighty", ":ReadsFlighty", "test")]


@hookimpl
def bench_statistics():
    return [Entry("flighty", ":Flighty", "test")]


@hookimpl
def bench_models():
    return [Entry("whole", ":Whole", "test")]


class Told:
    inputs = ("layer_gradient_sq_norms", "log_prob")

    def name_features(self, features):
        self.features = {name: list(names) for name, names in features.items()}

    def fit(self, statistics):
        self.columns = {name: values.shape[-1] for name, values in statistics.items()}
        return self

    def score(self, statistics):
        return -statistics["log_prob"].mean((1, 2))

    def fit_info(self):
        names = self.features["layer_gradient_sq_norms"]
        assert self.columns == {name: len(x) for name, x in self.features.items()}
        return {"first": names[0], "last": names[-1], "other": self.features["log_prob"][0]}


class Terms:
    inputs = ("log_prob_terms",)

    def fit(self, statistics):
        return self

    def score(self, statistics):
        return -statistics["log_prob_terms"].sum(2).mean(1)


CALLS = itertools.count()


class Flighty:
    # Its columns have other names every time.
    per = "example"

    def features(self, model):
        return ["same", f"call {next(CALLS)}"]

    def __call__(self, model, groups):
        return np.ones((len(groups), 2))


class ReadsFlighty(Terms):
    inputs = ("flighty",)


class Whole(torch.nn.Module):
    likelihood = "unnormalized"

    def __init__(self, domain):
        super().__init__()
        self.domain = domain
        self.weight = torch.nn.Parameter(torch.zeros(domain.dims))

    def log_prob(self, x):
        return x.flatten(1).to(self.weight.dtype) @ self.weight
"""


@pytest.fixture
def suite_with(tiny_suite):
    def build(scorers, *replacements):
        (tiny_suite.parent / "plugin.py").write_text(PLUGIN)
        text = tiny_suite.read_text().replace("[1, 5]", "[5]").replace('"others"', '"noise"')
        listed = '["log-likelihood", "typicality", "gradient-gaussian"]'
        for old, new in ((listed, json.dumps(scorers)), *replacements):
            assert old in text
            text = text.replace(old, new)
        tiny_suite.write_text('plugins.paths = ["plugin.py"]\n' + text)
        return load_suite(tiny_suite)

    return build


def test_a_scorer_is_told_the_names_of_the_columns(suite_with, settings):
    outcome = run(suite_with(["told"]), settings, NoDisplay())
    assert {result.status for result in outcome.results} == {"ok"}
    for result in outcome.results:
        assert result.provenance["fit"] == {
            "first": "levels.0.steps.0.norm.bias",
            "last": "top.prior.conv.log_scale",
            "other": "log_prob",
        }


def test_the_terms_of_a_flow_sum_to_its_log_probability(suite_with, settings):
    outcome = run(suite_with(["log-likelihood", "terms"]), settings, NoDisplay())
    scores = {r.cell.scorer: r.scores_out for r in outcome.results if r.cell.epoch == 2}
    assert scores["terms"] == pytest.approx(scores["log-likelihood"], rel=1e-6)


def test_a_model_without_terms_is_unsupported(suite_with, settings):
    suite = suite_with(
        ["terms"],
        ('plugin = "glow"\n', 'plugin = "whole"\n'),
        ("options = { levels = 1, steps = 1, width = 4 }\n", ""),
    )
    outcome = run(suite, settings, NoDisplay())
    assert {result.status for result in outcome.results} == {"unsupported"}
    message = "log_prob_terms needs a model with log_prob_terms; Whole lacks this method"
    assert all(result.message.endswith(message) for result in outcome.results)


def test_a_scorer_that_is_not_for_such_a_model_is_unsupported(suite_with, settings):
    outcome = run(suite_with(["log-likelihood", "hierarchical-ratio"]), settings, NoDisplay())
    found = {(result.cell.scorer, result.status) for result in outcome.results}
    assert found == {("log-likelihood", "ok"), ("hierarchical-ratio", "unsupported")}
    assert "no term belongs to level 1 or above" in outcome.results[-1].message


def test_roles_with_other_columns_fail_their_cells(suite_with, settings):
    outcome = run(suite_with(["reads-flighty"]), settings, NoDisplay())
    assert {result.status for result in outcome.results} == {"failed"}
    pattern = (
        r"flighty has different columns for digits \(in\) and digits \(fit\): column 1 is "
        r"'call \d+', not 'call \d+'; give the changed plugin a new version, and run again"
    )
    for result in outcome.results:
        assert re.fullmatch(pattern, result.message)


def test_a_statistic_whose_manifest_is_damaged_is_computed_again(suite_with, settings):
    suite = suite_with(["log-likelihood", "gradient-gaussian"])
    sound = run(suite, settings, NoDisplay()).results
    manifests = sorted(settings.store.glob("statistics/*/manifest.json"))
    for number, path in enumerate(manifests):
        path.write_bytes(path.read_bytes()[: 100 * (number % 2)])
    assert [r.to_json() for r in run(suite, settings, NoDisplay()).results] == [
        r.to_json() for r in sound
    ]
    assert len(list(settings.store.glob("quarantine/statistics-*"))) == len(manifests)
