"""The suites that compare every scorer."""

from __future__ import annotations

import pytest

from harness.plan.expand import make_plan
from harness.suite import load_suite
from harness.suite.toml.files import shipped_suites

FOLDER = shipped_suites()
OF_TEXT = {"mean-byte", "min-k", "zlib-size"}
"""Scorers that images cannot have."""
OF_NOISE = {"ddpm-ood", "diffusion-path", "score-norms"}
"""Scorers that need a model of noise."""


def planned_by(name):
    suite = load_suite(FOLDER / f"{name}.toml")
    return suite, make_plan(suite, {})


@pytest.mark.parametrize("name", ["rivals", "paper-rivals", "studies/every-scorer"])
def test_every_scorer_is_among_them(name):
    suite, plan = planned_by(name)
    asked = {planned.cell.scorer for planned in plan.cells}
    plugins = {suite.scorers[scorer].registered.entry.name for scorer in asked}
    assert plugins == set(suite.registry.names("scorers")) - OF_TEXT - OF_NOISE


def test_only_the_background_and_further_seeds_are_trained_after_the_quickstart():
    _, plan = planned_by("rivals")
    _, before = planned_by("quickstart")
    new = {(chain.model, chain.seed) for chain in plan.chains if chain not in before.chains}
    assert new == {("background", 0)} | {
        (model, seed) for model in ("glow-gray", "glow-colour", "glow-linear") for seed in (1, 2)
    }
    for chain, planned in before.chains.items():
        assert plan.chains[chain].epochs == planned.epochs
        assert set(planned.jobs) <= set(plan.chains[chain].jobs)


@pytest.mark.parametrize("name", ["rivals", "paper-rivals"])
def test_levels_are_asked_only_of_models_that_have_several(name):
    _, plan = planned_by(name)
    models = {p.cell.model for p in plan.cells if p.cell.scorer == "hierarchical-ratio"}
    assert models
    assert "glow-linear" not in models
