"""A resolved suite: what `load_suite` makes of TOML files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.only import Only
from harness.registry import Registry
from harness.suite.components import (
    Component,
    DatasetComponent,
    ModelComponent,
    ScorerComponent,
)
from harness.suite.references import Reference
from harness.suite.schema import Comparison, Suite


@dataclass(frozen=True)
class ResolvedSuite:
    """A suite whose every name stands for a plugin with checked options.

    Attributes:
        reference: Published values of its cells, if it names some.
        only: The cells to plan; all of them unless a selection was made.
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
    only: Only = field(default_factory=Only)

    def trained_on(self, model: str, in_dataset: str) -> str:
        """The data set that a model is trained on where another one is in-distribution."""
        return self.models[model].dataset or in_dataset

    def out_datasets(self, comparison: Comparison, in_dataset: str) -> tuple[str, ...]:
        """The OOD data sets of a comparison for one of its ID data sets."""
        if comparison.out_datasets != ("others",):
            return tuple(name for name in comparison.out_datasets if name != in_dataset)
        domain = self.datasets[in_dataset].dataset.domain
        return tuple(
            name
            for name in self.suite.datasets
            if name != in_dataset and self.datasets[name].dataset.domain == domain
        )
