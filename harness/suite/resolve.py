"""From merged TOML to a `ResolvedSuite`: names looked up, options checked, mistakes collected."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.errors import BenchError, OptionError, PluginError, Problem, SuiteError
from harness.registry.options import dataset_options, scorer_options, validate_options
from harness.registry.registry import Kind, Registry
from harness.suite.checks import comparison_problems
from harness.suite.components import (
    Component,
    DatasetComponent,
    ModelComponent,
    ScorerComponent,
    parse_input,
)
from harness.suite.files import Key, Merged, read_suite_files
from harness.suite.references import Reference, read_reference
from harness.suite.resolved import ResolvedSuite
from harness.suite.schema import Suite
from harness.text import known_names, short

C = TypeVar("C", bound=Component)
LOG_PROB = "log_prob"
"""The statistic that bits per dimension are made from; resolved for every suite."""


def load_suite(path: Path, requested: Sequence[str] = ()) -> ResolvedSuite:
    """Read, validate and resolve a suite. Touches no data and builds no model.

    Arguments:
        path: The suite's TOML file.
        requested: Plugins asked for on the command line, as `Registry` takes them.

    Raises:
        SuiteError: With every mistake that could be found, located by file, line and key.
        PluginError: A plugin that the suite or the command line names is broken.
    """
    merged = read_suite_files(path)
    registry = Registry(requested, merged.plugin_paths)
    suite = _validate(merged, registry)
    resolver = _Resolver(merged, registry)
    resolved = resolver.resolve(path, suite)
    if merged.problems or resolved is None:
        raise SuiteError(_in_order(merged.problems))
    return resolved


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    unique = {str(problem): problem for problem in problems}
    return sorted(unique.values(), key=lambda problem: (problem.file, problem.line or 0))


def _validate(merged: Merged, registry: Registry) -> Suite | None:
    """Check the schema and every name; report into `merged.problems`."""
    values = merged.values
    context: dict[str, list[str]] = {
        "model": _table_names(values, "models"),
        "training recipe": _table_names(values, "training"),
        "data set": _table_names(values, "datasets") + registry.names("datasets"),
        "scorer": _table_names(values, "scorers") + registry.names("scorers"),
        "model plugin": registry.names("models"),
        "data set plugin": registry.names("datasets"),
        "scorer plugin": registry.names("scorers"),
        "statistic plugin": registry.names("statistics"),
    }
    try:
        suite = Suite.model_validate_json(
            json.dumps(values, default=str), strict=True, context=context
        )
        comparisons = tuple(item.under(suite.protocol) for item in suite.comparisons)
        return suite.model_copy(update={"comparisons": comparisons})
    except ValidationError as error:
        for item in error.errors():
            if item["type"] == "too_short" and item["input"]:
                continue  # what it was too short for is reported itself
            merged.problems.append(_schema_problem(merged, item, registry))
        return None


def _table_names(values: Mapping[str, Any], table: str) -> list[str]:
    found = values.get(table)
    return list(found) if isinstance(found, dict) else []


def _schema_problem(merged: Merged, item: Any, registry: Registry) -> Problem:
    key: Key = tuple(part for part in item["loc"] if part != "[key]")
    context = item.get("ctx", {})
    if item["type"] == "extra_forbidden":
        known = _fields_at(key[:-1])
        return merged.problem(key, "unknown key", known_names(str(key[-1]), known))
    if item["type"] == "missing":
        return merged.problem(key, "missing key")
    if item["type"] == "unknown_name":
        broken = "".join(f"; {plugin}" for plugin in registry.broken)
        return merged.problem(key, item["msg"] + broken, context["hint"])
    message = item["msg"][0].lower() + item["msg"][1:]
    value = item.get("input")
    shown = f", not {short(value)}" if isinstance(value, str | int | float) else ""
    return merged.problem(key, message + shown)


def _fields_at(key: Key) -> list[str]:
    """The known keys of the table that a path leads to."""
    schema: Any = Suite.model_json_schema()
    definitions = schema["$defs"]
    node = schema
    for part in key:
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            (named,) = node.get("patternProperties", {"": {}}).values()
            node = node.get("properties", {}).get(part) or named
        while "$ref" in node:
            node = definitions[node["$ref"].rsplit("/", 1)[-1]]
    return list(node.get("properties", {}))


class _Resolver:
    """Looks components up one by one and collects what is wrong with them."""

    def __init__(self, merged: Merged, registry: Registry) -> None:
        self.merged = merged
        self.registry = registry
        self.datasets: dict[str, DatasetComponent | None] = {}
        self.scorers: dict[str, ScorerComponent | None] = {}

    def resolve(self, path: Path, suite: Suite | None) -> ResolvedSuite | None:
        """Resolve every component; None if the schema was not met or any component failed."""
        models = self._table("models", "models", self._model(suite))
        statistics = self._table("statistics", "statistics", self._plain)
        for name in _table_names(self.merged.values, "scorers"):
            self._scorer(name)
        for name in _table_names(self.merged.values, "datasets"):
            self._dataset(name)
        if suite is None:
            return None
        for model in suite.models.values():
            if model.dataset is not None:
                self._dataset(model.dataset)
        for comparison in suite.comparisons:
            for name in comparison.scorers:
                self._scorer(name)
            for name in (*comparison.in_datasets, *comparison.out_datasets):
                if name != "others":
                    self._dataset(name)
        self._resolve_inputs(suite, statistics)
        resolved = ResolvedSuite(
            path.stem,
            path,
            suite,
            self.registry,
            _present(models),
            _present(self.datasets),
            _present(statistics),
            _present(self.scorers),
            self._reference(suite),
        )
        if not self.merged.problems:
            for key, message in comparison_problems(resolved):
                self._report(key, message)
        return resolved

    def _table(
        self, table: str, kind: Kind, finish: Callable[[Component, Key], C | None]
    ) -> dict[str, C | None]:
        return {
            name: self._component(kind, (table, name), name, finish)
            for name in _table_names(self.merged.values, table)
        }

    def _component(
        self, kind: Kind, key: Key, name: str, finish: Callable[[Component, Key], C | None]
    ) -> C | None:
        """Look one component up: its table in the suite, else the plugin of that name."""
        table = self.merged.values.get(str(key[0]), {}).get(name, {"plugin": name})
        plugin = table.get("plugin") if isinstance(table, dict) else None
        if not isinstance(plugin, str) or plugin not in self.registry.names(kind):
            return None  # the schema has said so
        options = table.get("options", {})
        try:
            registered = self.registry.get(kind, plugin)
            target = registered.load()
            checked = validate_options(target, options if isinstance(options, dict) else {})
        except PluginError as error:
            self._report(key, str(error))
            return None
        except OptionError as error:
            for problem in error.problems:
                option = (*key, "options", *problem.key.split("."))
                self._report(option, problem.message, problem.hint)
            return None
        sources = self._sources(target, checked, key)
        members = self._members(target, checked, key)
        if sources is None or members is None:
            return None
        return finish(Component(name, registered, checked, sources, members), key)

    def _sources(
        self, target: Any, options: Mapping[str, Any], key: Key
    ) -> dict[str, DatasetComponent] | None:
        sources = {}
        for option in dataset_options(target):
            place = (*key, "options", option)
            source = self._named("data set", "datasets", options[option], self._dataset, place)
            if source is None:
                return None
            sources[option] = source
        return sources

    def _members(
        self, target: Any, options: Mapping[str, Any], key: Key
    ) -> dict[str, tuple[ScorerComponent, ...]] | None:
        members = {}
        for option, names in scorer_options(target, options).items():
            place = (*key, "options", option)
            found = [self._named("scorer", "scorers", name, self._scorer, place) for name in names]
            members[option] = tuple(member for member in found if member is not None)
            if len(members[option]) < len(found):
                return None
        return members

    def _named(
        self, what: str, kind: Kind, name: str, find: Callable[[str], C | None], key: Key
    ) -> C | None:
        """What an option names, defined by the suite or a plugin's at its default options."""
        known = _table_names(self.merged.values, kind) + self.registry.names(kind)
        if name not in known:
            self._report(key, f"there is no {what} {name!r}", known_names(name, known))
            return None
        found = find(name)
        if found is None and not self.merged.problems:
            self._report(key, f"{what} {name!r} contains itself")
        return found

    def _dataset(self, name: str) -> DatasetComponent | None:
        if name not in self.datasets:
            self.datasets[name] = None  # stays so while in progress: a cycle ends here
            self.datasets[name] = self._component(
                "datasets", ("datasets", name), name, self._constructed_dataset
            )
        return self.datasets[name]

    def _constructed_dataset(self, component: Component, key: Key) -> DatasetComponent | None:
        instance = self._construct(component, key)
        if instance is None:
            return None
        return DatasetComponent(**vars(component), dataset=instance)

    def _scorer(self, name: str) -> ScorerComponent | None:
        if name not in self.scorers:
            self.scorers[name] = None  # as with data sets
            self.scorers[name] = self._component(
                "scorers", ("scorers", name), name, self._constructed_scorer
            )
        return self.scorers[name]

    def _constructed_scorer(self, component: Component, key: Key) -> ScorerComponent | None:
        instance = self._construct(component, key)
        if instance is None:
            return None
        try:
            inputs = tuple(parse_input(text) for text in instance.inputs)
        except Exception as error:
            text = str(error) if isinstance(error, ValueError) else _describe(error)
            self._report(key, f"inputs: {text}")
            return None
        return ScorerComponent(**vars(component), inputs=inputs)

    def _model(self, suite: Suite | None) -> Callable[[Component, Key], ModelComponent | None]:
        def finish(component: Component, _: Key) -> ModelComponent | None:
            if suite is None:
                return None
            model = suite.models[component.name]
            recipe = suite.training[model.training]
            return ModelComponent(**vars(component), recipe=recipe, dataset=model.dataset)

        return finish

    def _plain(self, component: Component, key: Key) -> Component | None:
        return None if self._construct(component, key) is None else component

    def _construct(self, component: Component, key: Key) -> Any:
        try:
            return component.build()
        except Exception as error:
            text = str(error) if isinstance(error, BenchError) else _describe(error)
            self._report((*key, "options"), text)
            return None

    def _resolve_inputs(
        self,
        suite: Suite,
        statistics: dict[str, Component | None],
    ) -> None:
        """Look up the statistics and models that scorers read."""
        known = {*statistics, *self.registry.names("statistics")}
        if LOG_PROB in known and LOG_PROB not in statistics:
            key: Key = ("statistics",)
            statistics[LOG_PROB] = self._component("statistics", key, LOG_PROB, self._plain)
        for name, scorer in self.scorers.items():
            for item in scorer.inputs if scorer else ():
                key = ("scorers", name)
                if item.statistic not in known:
                    message = f"scorer {name!r} reads statistic {item.statistic!r}, not known"
                    self._report(key, message, known_names(item.statistic, known))
                elif item.statistic not in statistics:
                    statistics[item.statistic] = self._component(
                        "statistics", ("statistics",), item.statistic, self._plain
                    )
                if item.model is not None and item.model not in suite.models:
                    message = f"scorer {name!r} reads model {item.model!r}, not in the suite"
                    self._report(key, message, known_names(item.model, suite.models))

    def _reference(self, suite: Suite) -> Reference | None:
        if self.merged.reference is None:
            return None
        try:
            return read_reference(self.merged.reference, suite)
        except ValueError as error:
            self._report(("reference",), str(error))
            return None

    def _report(self, key: Key, message: str, hint: str = "") -> None:
        self.merged.problems.append(self.merged.problem(key, message, hint))


def _present(found: Mapping[str, C | None]) -> dict[str, C]:
    return {name: component for name, component in found.items() if component is not None}


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
