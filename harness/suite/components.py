"""Components: models, data sets, statistics and scorers in a suite, resolved to plugins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.contracts import CopiesExamples, Dataset, HasLayerNorms
from harness.domain import Domain
from harness.registry.options import check_domain, constructor_arguments
from harness.registry.registered import Registered
from harness.suite.saved import SavedEpochs
from harness.suite.schema import EvaluationPrecision, Recipe


@dataclass(frozen=True)
class Component:
    """A plugin under a name, with all options.

    Attributes:
        options: Every option of the plugin, including defaults, in JSON-like values.
        sources: The data sets named in the options, by option.
        members: The scorers named in the options, by option.
        files: The options that name files, described by content, by option (`keyed_files`).
        folder: Folder for relative paths in the options; never part of a key.
    """

    name: str
    registered: Registered
    options: Mapping[str, Any]
    sources: Mapping[str, DatasetComponent] = field(default_factory=dict)
    members: Mapping[str, tuple[ScorerComponent, ...]] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    def identity(self) -> dict[str, Any]:
        """Return the part that enters keys, without the name in the suite.

        Options that the entry lists as added are left out where they have the neutral value.
        """
        added = self.registered.entry.added
        options = {
            name: value
            for name, value in {**self.options, **self.files}.items()
            if name not in added or value != added[name]
        }
        for name, source in self.sources.items():
            options[name] = source.identity()
        for name, members in self.members.items():
            options[name] = [member.identity() for member in members]
        return {**self.registered.identity(), "options": options}

    def build(self, *domain: Domain) -> Any:
        """Construct the object; a model takes a domain.

        Raises:
            DomainError: The model does not take this kind of domain.
        """
        target = self.registered.load()
        for one in domain:
            check_domain(target, one)
        datasets = {source.name: source.dataset for source in self.sources.values()}
        scorers = {member.name: member.build for member in self.all_members()}
        options = constructor_arguments(target, self.options, datasets, scorers, self.folder)
        return target(*domain, **options)

    @cached_property
    def has_layer_norms(self) -> bool:
        """True for a statistic with the squared gradient norms of the layers."""
        return isinstance(self.build(), HasLayerNorms)

    def provenance(self) -> dict[str, Any]:
        """Return the facts about the plugins behind a number, to be stored with the number."""
        members = [member.provenance() for member in self.all_members()]
        made = self.registered.provenance()
        return {**made, "members": members} if members else {**made}

    def all_members(self) -> list[ScorerComponent]:
        """List the scorers combined by this scorer."""
        return [member for members in self.members.values() for member in members]


@dataclass(frozen=True)
class ModelComponent(Component):
    """A model with a training recipe, or with saved epochs.

    Attributes:
        recipe: With saved epochs only the precision has a meaning.
        dataset: Name of the data set for training, regardless of the ID set; None to train on the
            ID set.
        saved: Files with the weights of a model that was trained elsewhere.
        evaluation_precision: Precision of the networks in evaluation.
    """

    recipe: Recipe = field(default_factory=Recipe)
    dataset: str | None = None
    saved: SavedEpochs | None = None
    evaluation_precision: EvaluationPrecision = "full"


@dataclass(frozen=True)
class DatasetComponent(Component):
    """A constructed data set; construction touches no data."""

    dataset: Dataset = field(kw_only=True)

    @property
    def original(self) -> DatasetComponent:
        """The data set with the same images in the same order; itself unless it copies another."""
        if isinstance(self.dataset, CopiesExamples) and len(self.sources) == 1:
            (source,) = self.sources.values()
            return source.original
        return self


@dataclass(frozen=True)
class ScorerComponent(Component):
    """A scorer and the statistics to read."""

    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class Input:
    """A statistic read by a scorer; model, epoch and seed default to the cell's values."""

    text: str
    statistic: str
    model: str | None = None
    epoch: int | None = None
    seed: int | None = None


def parse_input(text: str) -> Input:
    """Parse `"statistic"`, optionally followed by `"@model"`, `":epoch"` and `"/seed"`.

    Raises:
        ValueError: The text has another format.
    """
    name = r"[^@:/]+"
    found = re.fullmatch(rf"({name})(?:@({name}))?(?::([0-9]+))?(?:/([0-9]+))?", text)
    if found is None:
        raise ValueError(
            f"{text!r} should read STATISTIC, followed by @MODEL, :EPOCH and /SEED where they "
            "differ from those of the cell, for example 'log_prob@glow:4/1'"
        )
    statistic, model, epoch, seed = found.groups()
    numbers = (None if number is None else int(number) for number in (epoch, seed))
    return Input(text, statistic, model, *numbers)
