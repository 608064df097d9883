"""Options that came after results were stored enter keys only where they matter."""

from __future__ import annotations

import pytest

from harness.registry.options import validate_options
from harness.registry.registry import Registry
from harness.suite import load_suite
from tests.unit.suite.test_composed import BASE, PLUGIN

REQUIRED = {"ensemble": {"scorers": ["log-likelihood", "typicality"]}}


def identity(write_suite, options):
    suite = load_suite(write_suite(BASE.replace("{ eps = 0.5 }", options)))
    return suite.scorers["blunt"].identity()["options"]


@pytest.fixture
def written(write_suite):
    write_suite(PLUGIN, "calm.py")
    return write_suite


def test_at_the_neutral_value_the_identity_is_that_of_before(written):
    before = {
        "eps": 0.5,
        "statistic": "layer_gradient_sq_norms",
        "layers": ["*"],
        "top_k": None,
    }
    assert identity(written, "{ eps = 0.5 }") == before
    assert identity(written, '{ eps = 0.5, constant_layers = "drop" }') == before


def test_another_value_is_part_of_the_identity(written):
    kept = identity(written, '{ eps = 0.5, constant_layers = "keep" }')
    assert kept["constant_layers"] == "keep"
    assert "formula" not in kept


def test_the_neutral_values_of_the_built_in_plugins_are_their_defaults():
    registry, added = Registry(), 0
    for kind in ("models", "datasets", "statistics", "scorers"):
        for item in registry.entries(kind):
            name = item.entry.name
            if item.entry.added:
                options = validate_options(item.load(), REQUIRED.get(name, {}))
                assert item.entry.added.items() <= options.items(), name
                added += 1
    assert added >= 6
