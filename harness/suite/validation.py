"""Validation of merged TOML against the schema, with a problem for each mistake."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from harness.errors import Problem
from harness.registry.registered import Kind
from harness.registry.registry import Registry
from harness.suite.schema import Suite, keys_at
from harness.suite.toml.files import Merged
from harness.suite.toml.origins import Key
from harness.text import known_names, short


def validate(merged: Merged, registry: Registry) -> Suite | None:
    """Check the schema and every name; add mistakes to `merged.problems`."""
    values = merged.values
    context: dict[str, list[str]] = {
        "model": [*table_of(values, "models")],
        "training recipe": [*table_of(values, "training")],
        "data set": [*table_of(values, "datasets"), *registry.names("datasets")],
        "scorer": [*table_of(values, "scorers"), *registry.names("scorers")],
        "model plugin": registry.names("models"),
        "data set plugin": registry.names("datasets"),
        "scorer plugin": registry.names("scorers"),
        "statistic plugin": registry.names("statistics"),
        "executor plugin": registry.names("executors"),
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
                continue  # the dropped items are reported themselves
            merged.problems.append(_schema_problem(merged, item, registry))
        return None


def table_of(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a table of the TOML; empty if missing or invalid, which the schema reports."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def _schema_problem(merged: Merged, item: Any, registry: Registry) -> Problem:
    context = item.get("ctx", {})
    key: Key = tuple(part for part in item["loc"] if part != "[key]")
    if "key" in context:  # a rule about a whole table names one of the keys
        key = (*key, context["key"])
    if item["type"] == "extra_forbidden":
        known = keys_at(key[:-1])
        return merged.origins.problem(key, "unknown key", known_names(str(key[-1]), known))
    if item["type"] == "missing":
        return merged.origins.problem(key, "missing key", _same_name(key, registry))
    if item["type"] == "unknown_name":
        broken = "".join(f"; {plugin}" for plugin in registry.broken)
        return merged.origins.problem(key, item["msg"] + broken, context["hint"])
    message = item["msg"][0].lower() + item["msg"][1:]
    value = item.get("input")
    shown = f", not {short(value)}" if isinstance(value, str | int | float) else ""
    return merged.origins.problem(key, message + shown, context.get("hint", ""))


def _same_name(key: Key, registry: Registry) -> str:
    """Return a hint for a table `[scorers.waic]` without the key `plugin`."""
    kinds: tuple[Kind, ...] = ("models", "datasets", "scorers")
    names = [name for kind in kinds if kind == key[0] for name in registry.names(kind)]
    is_known = key[-1] == "plugin" and key[1] in names
    return f'plugin = "{key[1]}" is the one of this name' if is_known else ""
