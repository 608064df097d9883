"""From merged TOML to a `ResolvedSuite`: look up names, check options, collect mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import (
    BenchError,
    DataError,
    OptionError,
    PluginError,
    PluginFileError,
    Problem,
    SuiteError,
)
from harness.registry.options import dataset_options, scorer_options, validate_options
from harness.registry.registered import Kind, ObjectEntry
from harness.registry.registry import Registry
from harness.suite.checks import comparison_problems
from harness.suite.components import (
    Component,
    DatasetComponent,
    ModelComponent,
    ScorerComponent,
    parse_input,
)
from harness.suite.option_files import keyed_files
from harness.suite.references import Reference, read_reference
from harness.suite.resolved import WORKERS, ResolvedSuite
from harness.suite.saved import SavedEpochs, find_saved_epochs
from harness.suite.schema import OTHERS, Checkpoints, Comparison, Recipe, Suite
from harness.suite.toml.files import Merged, find_suite, merge_values, read_suite_files
from harness.suite.toml.origins import Key
from harness.suite.toml.set_values import may_change_numbers, set_values
from harness.suite.validation import table_of, validate
from harness.text import known_names

C = TypeVar("C", bound=Component)
LOG_PROB, DEQUANTISED = "log_prob", "dequantised_log_prob"
"""The statistics behind bits per dimension, in the middle of the bin and with noise; resolved for
every suite."""


def load_suite(
    path: Path, requested: Sequence[str] = (), changes: Sequence[str] = ()
) -> ResolvedSuite:
    """Read, validate and resolve a suite. Touches no data and builds no model.

    Arguments:
        path: The suite's TOML file, or the name of a shipped suite.
        requested: Plugins requested on the command line, in the format of `Registry`.
        changes: Values set on the command line, in the format of `set_values`.

    Raises:
        SuiteError: With every detectable mistake, located by file, line and key.
        PluginError: A plugin requested on the command line is broken.
    """
    path = find_suite(path)
    merged = read_suite_files(path)
    set_values(merged, changes)
    resolved = _resolve(merged, path, requested, ())
    return replace(resolved, changes=tuple(filter(may_change_numbers, changes)))


def build_suite(
    values: Mapping[str, Any],
    name: str,
    requested: Sequence[str] = (),
    objects: Iterable[ObjectEntry] = (),
) -> ResolvedSuite:
    """Validate and resolve a suite that was built in Python.

    Arguments:
        values: The tables of a suite file; a tuple counts as a list, a path as its text.
        name: Name of the suite, which has no file.
        requested: Plugins, in the format of `Registry`.
        objects: Objects that tables may name as plugins.

    Raises:
        SuiteError: With every detectable mistake, located by key.
        PluginError: A requested plugin is broken.
    """
    plain: dict[str, Any] = json.loads(json.dumps(values, default=_plain))
    return _resolve(merge_values(plain, name), Path(name), requested, objects)


def _plain(value: Any) -> Any:
    """Convert a value of Python or NumPy to the types of TOML."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _resolve(
    merged: Merged, path: Path, requested: Sequence[str], objects: Iterable[ObjectEntry]
) -> ResolvedSuite:
    registry = _registry(merged, requested, objects)
    suite = validate(merged, registry)
    resolved = _Resolver(merged, registry, suite).resolve(path)
    if merged.problems or resolved is None:
        raise SuiteError(_in_order(merged.problems))
    return resolved


def _registry(
    merged: Merged, requested: Sequence[str], objects: Iterable[ObjectEntry]
) -> Registry:
    """Load all plugins.

    Raises:
        SuiteError: A plugin file named by the suite cannot be used.
        PluginError: A plugin requested on the command line is broken.
    """
    try:
        return Registry(requested, merged.plugin_files, objects)
    except PluginFileError as error:
        if error.path not in merged.plugin_files:
            raise
        file, line = merged.plugin_files[error.path]
        problem = Problem(str(error), file, line, "plugins.paths")
        raise SuiteError([*merged.problems, problem]) from error


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    unique = {str(problem): problem for problem in problems}
    return sorted(unique.values(), key=lambda problem: (problem.file, problem.line or 0))


class _Resolver:
    """Looks up components one by one and collects mistakes."""

    def __init__(self, merged: Merged, registry: Registry, suite: Suite | None) -> None:
        self.merged = merged
        self.origins = merged.origins
        self.registry = registry
        self.suite = suite
        self.models: dict[str, ModelComponent] = {}
        self.statistics: dict[str, Component] = {}
        self.datasets: dict[str, DatasetComponent | None] = {}
        self.scorers: dict[str, ScorerComponent | None] = {}

    def resolve(self, path: Path) -> ResolvedSuite | None:
        """Resolve every component; None if the suite violates the schema."""
        finders: dict[str, Callable[[str], object]] = {
            "models": self._model,
            "statistics": self._statistic,
            "scorers": self._scorer,
            "datasets": self._dataset,
        }
        for name, find in finders.items():
            for component in table_of(self.merged.values, name):
                find(component)
        tables = table_of(self.merged.values, "executors")
        executors = {name: self._executor(name, tables[name]) for name in tables}
        suite = self.suite
        if suite is None:
            return None
        for name, model in suite.models.items():
            if model.dataset is not None:
                self._use("datasets", model.dataset, ("models", name, "dataset"))
                self._dataset(model.dataset)
        for place, comparison in enumerate(suite.comparisons):
            self._named_by(comparison, ("comparisons", place))
        self._resolve_inputs(suite)
        resolved = ResolvedSuite(
            path.stem,
            path,
            suite,
            self.registry,
            self.models,
            _present(self.datasets),
            self.statistics,
            _present(self.scorers),
            self._reference(suite),
            executors=_present(executors),
            origins=self.origins,
        )
        if not self.merged.problems:
            for key, message in comparison_problems(resolved):
                self._report(key, message)
        return resolved

    def _named_by(self, comparison: Comparison, key: Key) -> None:
        """Resolve the scorers and data sets named by a comparison."""
        for place, scorer in enumerate(comparison.scorers):
            self._use("scorers", scorer, (*key, "scorers", place))
            self._scorer(scorer)
        sides = (("in", comparison.in_datasets), ("out", comparison.out_datasets))
        for side, datasets in sides:
            for place, dataset in enumerate(datasets):
                if dataset != OTHERS:
                    self._use("datasets", dataset, (*key, side, place))
                    self._dataset(dataset)

    def _use(self, kind: Kind, name: str, key: Key) -> None:
        """Give a component without a table in the suite the origin of the first use."""
        self.origins.setdefault((kind, name), self.origins.origin(key))

    def _model(self, name: str) -> None:
        component = self._component("models", name)
        if component is not None and self.suite is not None:
            model = self.suite.models[name]
            fields: dict[str, Any] = {**vars(component), "dataset": model.dataset}
            fields["evaluation_precision"] = model.evaluation_precision
            if model.training is not None:
                recipe = self.suite.training[model.training]
                self.models[name] = ModelComponent(**fields, recipe=recipe)
            elif model.checkpoints and (saved := self._saved(name, model.checkpoints)):
                recipe = Recipe(precision=saved.table.precision)
                self.models[name] = ModelComponent(**fields, recipe=recipe, saved=saved)
            self._check_precision(name)

    def _check_precision(self, name: str) -> None:
        model = self.models.get(name)
        if model is None or model.evaluation_precision == "full":
            return
        if model.recipe.precision == "float64":
            key: Key = ("models", name, "evaluation_precision")
            self._report(key, "bfloat16 is for float32 parameters, and these are float64")

    def _saved(self, model: str, table: Checkpoints) -> SavedEpochs | None:
        """Find the files of saved epochs; names are relative to the file with the table."""
        key: Key = ("models", model, "checkpoints")
        file, _ = self.merged.origins[key]
        try:
            return find_saved_epochs(table, Path(file).parent)
        except DataError as error:
            named = (name for name in ("files", "revisions") if getattr(table, name) is not None)
            self._report((*key, next(named, "epochs")), str(error))
        except OSError as error:
            self._report(key, f"{error.filename} cannot be read: {error.strerror}")
        return None

    def _statistic(self, name: str) -> None:
        if built := self._built("statistics", name):
            self.statistics[name], _ = built

    def _dataset(self, name: str) -> DatasetComponent | None:
        if name not in self.datasets:
            self.datasets[name] = None  # remains None while in progress, which ends a cycle
            if built := self._built("datasets", name):
                component, dataset = built
                self.datasets[name] = DatasetComponent(**vars(component), dataset=dataset)
        return self.datasets[name]

    def _scorer(self, name: str) -> ScorerComponent | None:
        if name not in self.scorers:
            self.scorers[name] = None  # like for data sets
            if built := self._built("scorers", name):
                component, scorer = built
                try:
                    inputs = tuple(parse_input(text) for text in scorer.inputs)
                    self.scorers[name] = ScorerComponent(**vars(component), inputs=inputs)
                except Exception as error:
                    text = str(error) if isinstance(error, ValueError) else _describe(error)
                    self._report(("scorers", name), f"inputs: {text}")
        return self.scorers[name]

    def _executor(self, name: str, options: Any) -> Component | None:
        """Check the options of an executor; the schema reports unknown names and other types."""
        key: Key = ("executors", name)
        if name not in self.registry.names("executors") or not isinstance(options, dict):
            return None
        try:
            registered = self.registry.get("executors", name)
            # The command line has the number of workers, which every executor takes.
            checked = validate_options(registered.load(), {**options, WORKERS: 1})
        except PluginError as error:
            self._report(key, str(error))
            return None
        except OptionError as error:
            self._report_options(key, error)
            return None
        if WORKERS in options:
            self._report((*key, WORKERS), "is set by the option --workers, not in a suite")
        return Component(name, registered, checked, folder=self.origins.folder(key))

    def _report_options(self, key: Key, error: OptionError) -> None:
        for problem in error.problems:
            self._report((*key, *problem.key.split(".")), problem.message, problem.hint)

    def _built(self, kind: Kind, name: str) -> tuple[Component, Any] | None:
        """Look up a component and build an object; None if either fails."""
        component = self._component(kind, name)
        if component is None:
            return None
        try:
            return component, component.build()
        except Exception as error:
            text = str(error) if isinstance(error, BenchError) else _describe(error)
            self._report((kind, name, "options"), text)
            return None

    def _component(self, kind: Kind, name: str) -> Component | None:
        """Look up a component: the table in the suite, or else the plugin with the same name."""
        key = (kind, name)
        folder = self.origins.folder(key)
        table = table_of(self.merged.values, kind).get(name, {"plugin": name})
        plugin = table.get("plugin") if isinstance(table, dict) else None
        if not isinstance(plugin, str) or plugin not in self.registry.names(kind):
            return None  # already reported by the schema
        options = table.get("options", {})
        try:
            registered = self.registry.get(kind, plugin)
            target = registered.load()
            checked = validate_options(target, options if isinstance(options, dict) else {})
            # A data set has a stamp for its files, and a fingerprint of what is read from them.
            files = {} if kind == "datasets" else keyed_files(target, checked, folder)
        except PluginError as error:
            self._report(key, str(error))
            return None
        except OptionError as error:
            self._report_options((*key, "options"), error)
            return None
        named = {option: [checked[option]] for option in dataset_options(target)}
        sources = self._named("data set", "datasets", named, self._dataset, key)
        named = scorer_options(target, checked)
        members = self._named("scorer", "scorers", named, self._scorer, key)
        if sources is None or members is None:
            return None
        source = {option: dataset for option, (dataset,) in sources.items()}
        return Component(name, registered, checked, source, members, files, folder)

    def _named(
        self,
        what: str,
        kind: Kind,
        named: Mapping[str, Sequence[str]],
        find: Callable[[str], C | None],
        key: Key,
    ) -> dict[str, tuple[C, ...]] | None:
        """Look up names in options: from the suite, or else plugins with default options."""
        known = [*table_of(self.merged.values, kind), *self.registry.names(kind)]
        components: dict[str, tuple[C, ...]] = {}
        for option, names in named.items():
            place = (*key, "options", option)
            found = []
            for name in names:
                self._use(kind, name, place)
                if name not in known:
                    self._report(place, f"there is no {what} {name!r}", known_names(name, known))
                elif (component := find(name)) is not None:
                    found.append(component)
                elif not self.merged.problems:
                    self._report(place, f"{what} {name!r} contains itself")
            if len(found) < len(names):
                return None
            components[option] = tuple(found)
        return components

    def _resolve_inputs(self, suite: Suite) -> None:
        """Look up the statistics and models read by scorers."""
        known = {*table_of(self.merged.values, "statistics"), *self.registry.names("statistics")}
        for name in (LOG_PROB, DEQUANTISED):
            if name in known and name not in self.statistics:
                self._statistic(name)
        for name, scorer in self.scorers.items():
            key = ("scorers", name)
            for item in scorer.inputs if scorer else ():
                self._use("statistics", item.statistic, key)
                if item.statistic not in known:
                    message = f"scorer {name!r} reads unknown statistic {item.statistic!r}"
                    self._report(key, message, known_names(item.statistic, known))
                elif item.statistic not in self.statistics:
                    self._statistic(item.statistic)
                if item.model is not None and item.model not in suite.models:
                    message = f"scorer {name!r} reads unknown model {item.model!r}"
                    self._report(key, message, known_names(item.model, suite.models))

    def _reference(self, suite: Suite) -> Reference | None:
        if not suite.reference:
            return None
        key: Key = ("reference",)
        try:
            return read_reference(self.origins.folder(key) / suite.reference, suite)
        except ValueError as error:
            self._report(key, str(error))
            return None

    def _report(self, key: Key, message: str, hint: str = "") -> None:
        self.merged.problems.append(self.origins.problem(key, message, hint))


def _present(found: Mapping[str, C | None]) -> dict[str, C]:
    return {name: component for name, component in found.items() if component is not None}


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
