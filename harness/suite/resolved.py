"""A resolved suite, created from TOML files by `load_suite`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.contracts import RunsElsewhere
from harness.registry.options import validate_options
from harness.registry.registered import FILE, MEMORY, Registered
from harness.registry.registry import Registry
from harness.suite.components import Component, DatasetComponent, ModelComponent, ScorerComponent
from harness.suite.references import Reference
from harness.suite.schema import Comparison, Suite
from harness.suite.selection import Selection
from harness.suite.toml.origins import Origins

WORKERS = "workers"
"""Option of every executor."""


@dataclass(frozen=True)
class SuiteFingerprint:
    """Origin of the cells in a plan, independent of the selection.

    Attributes:
        digest: Hash of the suite and the plugins; equal digests and equal code give equal cells.
        packages: Packages with code of the plugins; a plugin file is covered by the digest.
    """

    digest: str
    packages: frozenset[str]


@dataclass(frozen=True)
class ResolvedSuite:
    """A suite with every name resolved to a plugin with checked options.

    Attributes:
        reference: Published values for the cells, if the suite names a reference.
        executors: Executors with options in the suite, by name of the plugin.
        only: The cells to plan; all cells unless a selection was made.
        changes: Values set on the command line that may change numbers, as `KEY=VALUE`.
        origins: File and line of each value.
    """

    name: str
    path: Path
    suite: Suite
    registry: Registry
    models: Mapping[str, ModelComponent]
    datasets: Mapping[str, DatasetComponent]
    statistics: Mapping[str, Component]
    scorers: Mapping[str, ScorerComponent]
    reference: Reference | None = None
    executors: Mapping[str, Component] = field(default_factory=dict)
    only: Selection = field(default_factory=Selection)
    changes: tuple[str, ...] = ()
    origins: Origins = field(default_factory=Origins)

    @property
    def title(self) -> str:
        """Title for reports, with the values set on the command line."""
        title = self.suite.title or self.name
        return f"{title}, with {', '.join(self.changes)}" if self.changes else title

    def fingerprint(self) -> SuiteFingerprint:
        """Compute the fingerprint, from the origin of all cells."""
        tables = (self.models, self.datasets, self.statistics, self.scorers)
        known = [component for table in tables for component in table.values()]
        used = [one.registered for item in known for one in (item, *item.all_members())]
        outs = [
            [self.out_datasets(comparison, name) for name in comparison.in_datasets]
            for comparison in self.suite.comparisons
        ]
        left_out = {"title", "reference", "executors"}
        parts: list[Any] = [self.suite.model_dump_json(exclude=left_out), outs]
        parts += [[item.name, item.identity(), item.provenance()] for item in known]
        found = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
        return SuiteFingerprint(found.hexdigest(), frozenset(map(_package, used)) - {""})

    def executor(self, name: str, workers: int) -> Any:
        """Build an executor with the options in the suite.

        Arguments:
            name: Name of the plugin.
            workers: Maximum number of workers at a time.

        Raises:
            PluginError: There is no such executor.
        """
        found = self.executors.get(name) or self._executor_without_table(name)
        return replace(found, options={**found.options, WORKERS: workers}).build()

    def runs_elsewhere(self, executor: str) -> bool:
        """Check that the workers of an executor run on other machines.

        Raises:
            PluginError: There is no such executor.
        """
        return isinstance(self.registry.get("executors", executor).load(), RunsElsewhere)

    def _executor_without_table(self, name: str) -> Component:
        registered = self.registry.get("executors", name)
        return Component(name, registered, validate_options(registered.load(), {WORKERS: 1}))

    def trained_on(self, model: str, in_dataset: str) -> str:
        """Return the training data set of a model, for a given ID set."""
        return self.models[model].dataset or in_dataset

    def out_datasets(self, comparison: Comparison, in_dataset: str) -> tuple[str, ...]:
        """List the OOD data sets of a comparison for an ID data set."""
        if comparison.out_datasets != ("others",):
            return tuple(name for name in comparison.out_datasets if name != in_dataset)
        domain = self.datasets[in_dataset].dataset.domain
        return tuple(
            name
            for name in self.suite.datasets
            if name != in_dataset and self.datasets[name].dataset.domain == domain
        )


def _package(registered: Registered) -> str:
    """Return the package or module with the entry; empty for a plugin file or an object."""
    if registered.source.distribution in (FILE, MEMORY):
        return ""
    module = registered.entry.target.partition(":")[0] or registered.module
    return module.partition(".")[0]
