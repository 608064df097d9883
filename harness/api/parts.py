"""Single statistics and scorers, without a suite and without a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.contracts import NeedsFeatureNames, Scorer
from harness.errors import DataError, NotFittedError, OptionError, Problem
from harness.registry.options import constructor_arguments, scorer_options, validate_options
from harness.registry.registered import Kind
from harness.registry.registry import Registry
from harness.suite.components import parse_input
from harness.text import known_names

if TYPE_CHECKING:
    from harness.compute.memory.single import SingleStatistic

Values = NDArray[np.float64]


def statistic(name: str, /, *, plugins: Sequence[str] = (), **options: Any) -> SingleStatistic:
    """Return a statistic to be called with a model and images.

    Arguments:
        name: Name of a statistic plugin.
        plugins: Plugin files or modules, or `no:NAME`, as after `-p`.
        options: Options of the plugin; see `bench show NAME`.

    Returns:
        A function of a model (a module with `log_prob`, or a function x -> log p in nats) and
        uint8 images, (N, channels, height, width), with result float64, (N, F).

    Raises:
        PluginError: The name is unknown.
        OptionError: An option is unknown or has another type.

    Example:
        >>> import numpy as np
        >>> import oodbench
        >>> x = np.zeros((3, 1, 2, 2), np.uint8)
        >>> oodbench.statistic("log_prob")(lambda x: -x.double().flatten(1).sum(1) - 1, x).tolist()
        [[-1.0], [-1.0], [-1.0]]
    """
    from harness.compute.memory.single import SingleStatistic

    return SingleStatistic(name, _built(Registry(plugins), "statistics", name, options))


def scorer(name: str, /, *, plugins: Sequence[str] = (), **options: Any) -> SingleScorer:
    """Return a scorer to be fitted to statistics of ID groups.

    Arguments:
        name: Name of a scorer plugin.
        plugins: Plugin files or modules, or `no:NAME`, as after `-p`.
        options: Options of the plugin; an option that takes scorers takes their names.

    Raises:
        PluginError: The name is unknown.
        OptionError: An option is unknown or has another type.

    Example:
        >>> import numpy as np
        >>> import oodbench
        >>> typicality = oodbench.scorer("typicality")
        >>> typicality.inputs
        ('log_prob',)
        >>> log_prob = np.array([[-4.0], [-6.0]])  # of two ID examples
        >>> typicality.fit({"log_prob": log_prob}).score({"log_prob": log_prob - 10}).tolist()
        [9.0, 11.0]
    """
    registry = Registry(plugins)
    made = _built(registry, "scorers", name, options)
    units = {text: _unit(registry, text) for text in made.inputs}
    return SingleScorer(name, made, units)


class SingleScorer:
    """A scorer that takes statistics from memory.

    Arguments:
        name: Name of the scorer.
        made: The scorer.
        units: `"example"` or `"group"` for each input, the unit of a row.
    """

    def __init__(self, name: str, made: Scorer, units: Mapping[str, str]) -> None:
        self._name, self._made, self._units = name, made, units
        self._columns: dict[str, int] = {}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the statistics to pass."""
        return self._made.inputs

    def fit(
        self,
        statistics: Mapping[str, Values],
        features: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> SingleScorer:
        """Fit to ID groups, discarding any earlier fit.

        Arguments:
            statistics: By name, float64, (M, F); of a statistic per example, with a row for each,
                (M, b, F) for groups of b examples.
            features: Names of the F columns by statistic, `features(model, x)` of a statistic;
                numbers by default.

        Raises:
            DataError: A statistic is missing or has another shape.
            ScoreError: The statistics do not allow a fit, for example because groups are too few.
        """
        read = self._read(statistics)
        if isinstance(self._made, NeedsFeatureNames):
            numbered = {name: list(map(str, range(x.shape[-1]))) for name, x in read.items()}
            self._made.name_features({**numbered, **features})
        self._made.fit(read)
        self._columns = {name: values.shape[-1] for name, values in read.items()}
        return self

    def score(self, statistics: Mapping[str, Values]) -> Values:
        """Score groups.

        Arguments:
            statistics: As for `fit`.

        Returns:
            float64, (M,); higher is more OOD.

        Raises:
            NotFittedError: The scorer was not fitted.
            DataError: A statistic is missing or has another shape.
        """
        if not self._columns:
            raise NotFittedError(f"{self._name} was asked for scores before it was fitted")
        read = self._read(statistics)
        for name, values in read.items():
            if values.shape[-1] != self._columns[name]:
                raise DataError(
                    f"{name} has {values.shape[-1]} columns, but {self._columns[name]} in the fit"
                )
        return np.asarray(self._made.score(read), np.float64)

    def _read(self, statistics: Mapping[str, Values]) -> dict[str, Values]:
        """Return the statistics in the shapes that scorers take."""
        if not isinstance(statistics, Mapping):
            raise DataError(
                f"{self._name} reads {', '.join(self.inputs)}: pass a mapping of names to arrays, "
                f"not {type(statistics).__name__}"
            )
        for name in self.inputs:
            if name not in statistics:
                hint = known_names(name, statistics)
                raise DataError(f"{self._name} reads {name}, which is not passed ({hint})")
        read = {name: self._shaped(name, statistics[name]) for name in self.inputs}
        counts = {name: len(values) for name, values in read.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise DataError(f"the statistics have different numbers of groups: {told}")
        return read

    def _shaped(self, name: str, given: Any) -> Values:
        values = np.asarray(given, np.float64)
        is_grouped = self._units[name] == "group"
        if values.ndim == 2 and not is_grouped:
            values = values[:, np.newaxis]
        if values.ndim != (2 if is_grouped else 3):
            shape = "(M, F)" if is_grouped else "(M, F) or (M, b, F)"
            raise DataError(f"{name} should have shape {shape}, not {values.shape}")
        if not len(values):
            raise DataError(f"{name} has no groups")
        if not np.isfinite(values).all():
            raise DataError(f"{name} has values that are not finite")
        return values


def _built(registry: Registry, kind: Kind, name: str, options: Mapping[str, Any]) -> Any:
    """Build a plugin with options; scorers named by options have default options.

    Raises:
        PluginError: A name is unknown.
        OptionError: An option is unknown or has another type.
    """
    target = registry.get(kind, name).load()
    try:
        checked = validate_options(target, options)
    except OptionError as error:
        problems = [Problem(x.message, name, None, x.key, x.hint) for x in error.problems]
        raise OptionError(problems) from None
    members = {
        member: partial(_built, registry, "scorers", member, {})
        for names in scorer_options(target, checked).values()
        for member in names
    }
    return target(**constructor_arguments(target, checked, {}, members))


def _unit(registry: Registry, text: str) -> str:
    """Return the unit of a row of a statistic that a scorer reads."""
    name = parse_input(text).statistic
    return str(_built(registry, "statistics", name, {}).per)
