"""Components: the models, data sets, statistics and scorers of a suite, resolved to plugins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness.contracts import Dataset, HasLayerNorms
from harness.registry.options import constructor_arguments
from harness.registry.registry import Registered
from harness.suite.schema import Recipe


@dataclass(frozen=True)
class Component:
    """A plugin under a name, with all its options.

    Attributes:
        options: Every option of the plugin, defaults included, as JSON-like values.
        sources: The data sets that its options name, by option.
        members: The scorers that its options name, by option.
    """

    name: str
    registered: Registered
    options: Mapping[str, Any]
    sources: Mapping[str, DatasetComponent] = field(default_factory=dict)
    members: Mapping[str, tuple[ScorerComponent, ...]] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """What enters keys. The name under which the suite knows it does not."""
        options = dict(self.options)
        for name, source in self.sources.items():
            options[name] = source.identity()
        for name, members in self.members.items():
            options[name] = [member.identity() for member in members]
        return {**self.registered.identity(), "options": options}

    def build(self, *arguments: Any) -> Any:
        """Construct the object; `arguments` come first, such as a model's domain."""
        target = self.registered.load()
        datasets = {source.name: source.dataset for source in self.sources.values()}
        scorers = {member.name: member.build for member in self.all_members()}
        return target(*arguments, **constructor_arguments(target, self.options, datasets, scorers))

    @cached_property
    def has_layer_norms(self) -> bool:
        """Whether it is a statistic of the layers' squared gradient norms."""
        return isinstance(self.build(), HasLayerNorms)

    def provenance(self) -> dict[str, Any]:
        """What a number records about the plugins that made it."""
        members = [member.provenance() for member in self.all_members()]
        made = self.registered.provenance()
        return {**made, "members": members} if members else {**made}

    def all_members(self) -> list[ScorerComponent]:
        """List the scorers that this scorer combines."""
        return [member for members in self.members.values() for member in members]


@dataclass(frozen=True)
class ModelComponent(Component):
    """A model with its training recipe.

    Attributes:
        dataset: The name of the data set that it is trained on whatever is in-distribution; None
            if it is the ID set.
    """

    recipe: Recipe = field(default_factory=Recipe)
    dataset: str | None = None


@dataclass(frozen=True)
class DatasetComponent(Component):
    """A data set, constructed (which touches no data)."""

    dataset: Dataset = field(kw_only=True)


@dataclass(frozen=True)
class ScorerComponent(Component):
    """A scorer and the statistics it reads."""

    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class Input:
    """A statistic that a scorer reads: of its cell's model, epoch and seed where it names none."""

    text: str
    statistic: str
    model: str | None = None
    epoch: int | None = None
    seed: int | None = None


def parse_input(text: str) -> Input:
    """Parse `"statistic"`, then `"@model"`, `":epoch"` and `"/seed"` as far as they are there.

    Raises:
        ValueError: It does not read so.
    """
    name = r"[^@:/]+"
    found = re.fullmatch(rf"({name})(?:@({name}))?(?::([0-9]+))?(?:/([0-9]+))?", text)
    if found is None:
        raise ValueError(
            f"{text!r} should read STATISTIC, then @MODEL, :EPOCH and /SEED as far as they are "
            "not the cell's own, such as 'log_prob@glow:4/1'"
        )
    statistic, model, epoch, seed = found.groups()
    numbers = (None if number is None else int(number) for number in (epoch, seed))
    return Input(text, statistic, model, *numbers)
