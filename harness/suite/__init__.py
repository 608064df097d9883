"""Suites: TOML files read, validated and resolved to plugins."""

from __future__ import annotations

from harness.suite.components import Component, DatasetComponent, ModelComponent, ScorerComponent
from harness.suite.resolve import build_suite, load_suite
from harness.suite.resolved import ResolvedSuite, SuiteFingerprint
from harness.suite.schema import Comparison, Recipe, Suite

__all__ = [
    "Comparison",
    "Component",
    "DatasetComponent",
    "ModelComponent",
    "Recipe",
    "ResolvedSuite",
    "ScorerComponent",
    "Suite",
    "SuiteFingerprint",
    "build_suite",
    "load_suite",
]
