"""Description of a detector in `detector.json`: plugins with options, models, statistics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.domain import Domain, domain_of
from harness.errors import DataError, OptionError, PluginError, UnsupportedError
from harness.registry.options import (
    dataset_options,
    map_paths,
    parsed_options,
    scorer_options,
    validate_options,
)
from harness.registry.registered import FILE, Kind, Registered
from harness.registry.registry import Registry
from harness.suite import Component, ModelComponent, Recipe, ScorerComponent
from harness.suite.schema import Count, EvaluationPrecision
from harness.text import short

FORMAT = 1
Place = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Used(_Part):
    """A plugin with options, under the name in the suite.

    Attributes:
        plugin: Name of the entry; version, distribution and imports as in `Registered.identity`.
        members: The scorers named in the options, by option.
    """

    name: str
    plugin: str
    version: str
    distribution: str
    imports: dict[str, str] = {}
    options: dict[str, Any]
    members: dict[str, tuple[Used, ...]] = {}

    @classmethod
    def of(cls, component: Component, **more: Any) -> Self:
        """Describe a component.

        Raises:
            UnsupportedError: The options name files or data sets, which a detector cannot carry.
        """
        require_own_options(component.registered, component.options)
        members = {
            option: tuple(map(Used.of, named)) for option, named in component.members.items()
        }
        return cls(
            name=component.name,
            **component.registered.identity(),
            options=dict(component.options),
            members=members,
            **more,
        )

    def identity(self) -> dict[str, Any]:
        """Return the plugin's identity, to be compared with `Registered.identity`."""
        named = {"plugin": self.plugin, "version": self.version, "distribution": self.distribution}
        return named | {"imports": self.imports} if self.imports else named

    def component(self, kind: Kind, registry: Registry) -> Component:
        """Find the plugin, and check its version and the options.

        Raises:
            PluginError: The plugin is unknown, or another version.
            DataError: The options do not fit.
        """
        registered = self._registered(kind, registry)
        target = registered.load()
        try:
            options = validate_options(target, self.options)
        except OptionError as error:
            raise DataError(
                f"{kind[:-1]} {self.plugin!r} does not take its options: {error}"
            ) from error
        require_own_options(registered, options)
        members = {
            option: tuple(_scorer(member.component("scorers", registry)) for member in members)
            for option, members in self.members.items()
        }
        found = {option: [item.name for item in items] for option, items in members.items()}
        if found != scorer_options(target, options):
            raise DataError(f"{kind[:-1]} {self.plugin!r} names other scorers than are described")
        return Component(self.name, registered, options, {}, members)

    def _registered(self, kind: Kind, registry: Registry) -> Registered:
        what = f"{kind[:-1]} {self.plugin!r}"
        if self.plugin not in registry.names(kind) and self.distribution == FILE:
            raise PluginError(
                f"{what} comes from a plugin file, and a detector contains no code: name the file "
                f"with -p (version {self.version})"
            )
        registered = registry.get(kind, self.plugin)
        if (found := registered.identity()) != self.identity():
            raise PluginError(
                f"{what} is {_version(found)} here, but the detector was made with "
                f"{_version(self.identity())}: use that version, or make the detector again"
            )
        return registered


def _scorer(component: Component) -> ScorerComponent:
    return ScorerComponent(**vars(component))


def _version(identity: Mapping[str, Any]) -> str:
    """Return version, distribution and imported modules of a plugin in words."""
    imports = "".join(f", {name} {found}" for name, found in identity.get("imports", {}).items())
    return f"version {identity['version']} ({identity['distribution']}{imports})"


def require_own_options(registered: Registered, options: Mapping[str, Any]) -> None:
    """Refuse a plugin whose options name files or data sets.

    Raises:
        UnsupportedError: Names the plugin and the options.
    """
    target = registered.load()
    named = [str(options[name]) for name in dataset_options(target)]

    def note(path: Path) -> Path:
        named.append(str(path))
        return path

    map_paths(parsed_options(target, options), note)
    if named:
        raise UnsupportedError(
            f"{registered.kind[:-1]} {registered.entry.name!r} reads files or data sets named in "
            f"its options ({', '.join(named)}), and a detector has only weights and statistics"
        )


class UsedModel(Used):
    """A model with the weights of an epoch.

    Attributes:
        weights: File with the weights.
        epoch: Number of the epoch or step.
        seed: Seed of the training.
        trained_on: Name of the training data set; None if unknown.
        precision: Floating-point type of the parameters.
        evaluation_precision: Precision of the networks.
    """

    weights: str
    precision: Literal["float32", "float64"]
    evaluation_precision: EvaluationPrecision = "full"
    epoch: Place
    seed: Place
    trained_on: str | None

    def component(self, kind: Kind, registry: Registry) -> ModelComponent:
        """Find the plugin; raises as for any plugin."""
        found = super().component(kind, registry)
        return ModelComponent(
            **vars(found),
            recipe=Recipe(precision=self.precision),
            evaluation_precision=self.evaluation_precision,
        )


class UsedStatistic(Used):
    """A statistic of a model.

    Attributes:
        model: Position among the models; None for a statistic of the examples alone.
        features: Names of the columns.
        fit: File with the values for the fit groups.
        examples: File with the examples to fit a fitted statistic to; None for any other.
    """

    model: Place | None
    features: tuple[str, ...]
    fit: str
    examples: str | None


class Description(_Part):
    """Everything that determines the scores.

    Attributes:
        domain: Fields of the domain.
        inputs: Position among the statistics, for each input of the scorer.
        calibration: File with the calibration scores.
        fit_scores: File with the scores of the fit groups, for a comparison.
    """

    format: Literal[1] = 1
    domain: dict[str, int]
    group_size: Count
    models: tuple[UsedModel, ...]
    statistics: tuple[UsedStatistic, ...]
    scorer: Used
    inputs: dict[str, Place]
    calibration: str
    fit_scores: str

    @property
    def input_domain(self) -> Domain:
        """The domain of the inputs."""
        return domain_of(self.domain)

    def used(self) -> Iterator[Used]:
        """Yield every plugin, the members of scorers too."""
        waiting: list[Used] = [*self.models, *self.statistics, self.scorer]
        while waiting:
            yield (part := waiting.pop())
            waiting += [member for members in part.members.values() for member in members]


def parse_description(inputs: Mapping[str, Any], where: Path) -> Description:
    """Check the description in a file.

    Raises:
        DataError: The format is newer, or a value is missing or invalid; names the key.
    """
    found = inputs.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise DataError(
            f"{where}: format {found} is newer than the formats that this version of oodbench "
            f"reads (up to {FORMAT}): install the version that made the detector, or a newer one"
        )
    try:
        description = Description.model_validate_json(json.dumps(inputs))
        domain_of(description.domain)  # raises for other fields and for impossible sizes
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DataError(f"{where}: {key}: {first['msg']}") from error
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: domain: {short(str(error))}") from error
    _check_places(description, where)
    return description


def _check_places(description: Description, where: Path) -> None:
    models, statistics = len(description.models), len(description.statistics)
    places = [
        *((part.model, models, "model") for part in description.statistics),
        *((place, statistics, "statistic") for place in description.inputs.values()),
    ]
    for place, count, what in places:
        if place is not None and place >= count:
            raise DataError(f"{where}: there is no {what} number {place}, only {count}")
