"""Write docs/reference.md: every hook, event, suite key and check, from the sources.

A test compares the file with what this prints, so nothing can be added without being documented.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import contracts, events, hookspecs
from harness.suite import Suite
from harness.testing.datasets import DATASET_CHECKS
from harness.testing.models import MODEL_CHECKS
from harness.testing.scorers import SCORER_CHECKS
from harness.testing.statistics import STATISTIC_CHECKS

PATH = Path(__file__).parent.parent / "docs" / "reference.md"
CONTRACTS = """
Dataset HasStamp Fetchable DensityModel Preparable Trainable Samplable HasLogProbTerms Flow
Statistic HasLayerNorms HasFakeFeatures HasFakeValues FittedStatistic Scorer NeedsFeatureNames
HasScoreTerms HasFitInfo Baseline Executor Task
"""
HEAD = """# Reference

Hooks, contracts, checks and suite keys, written by `python scripts/reference.py` from the sources;
a test holds the two together. How to use them is in [adding-a-plugin.md](adding-a-plugin.md).
"""


def summary(item: Any) -> str:
    """The first paragraph of a docstring.

    Raises:
        ValueError: There is none, so the item is not documented.
    """
    text = (inspect.getdoc(item) or "").partition("\n\n")[0].replace("\n", " ")
    if not text:
        raise ValueError(f"{item!r} has no docstring")
    return text


def signature(function: Any) -> str:
    """A signature, without the quotes of annotations that are not evaluated."""
    return str(inspect.signature(function)).replace("'", "")


def hooks() -> Iterator[str]:
    """Every hook with its signature; the events that some of them receive, with their fields."""
    yield "## Hooks\n"
    yield "A plugin module implements any of them, each marked `@hookimpl` of `oodbench`.\n"
    for name, hook in vars(hookspecs).items():
        if name.startswith("bench_"):
            yield f"- `{name}{signature(hook)}`\n  {summary(hook)}"
    yield "\nEvents are dataclasses of `oodbench.events`, in plain data:\n"
    for event in (
        events.RunStarted,
        events.EpochFinished,
        events.CellFinished,
        events.RunFinished,
    ):
        fields = ", ".join(f"{field.name}: {field.type}" for field in dataclasses.fields(event))
        yield f"- `{event.__name__}({fields})`\n  {summary(event)}"


def protocols() -> Iterator[str]:
    """Members of every contract with their signatures."""
    yield "\n## Contracts\n"
    yield "Protocols of `oodbench`; a plugin has these members and inherits nothing.\n"
    for name in CONTRACTS.split():
        protocol = getattr(contracts, name)
        yield f"### {name}\n\n{summary(protocol)}\n"
        for member in protocol.__annotations__:
            yield f"- `{member}: {protocol.__annotations__[member]}`"
        for member, value in vars(protocol).items():
            if isinstance(value, property):
                kind = inspect.signature(value.fget).return_annotation
                yield f"- `{member}: {kind}`\n  {summary(value)}"
            elif inspect.isfunction(value) and (member == "__call__" or member[0] != "_"):
                if member != "__init__":
                    yield f"- `{member}{signature(value)}`\n  {summary(value)}"
        yield ""


def checks() -> Iterator[str]:
    """Every check of the conformance kit with its meaning."""
    yield "## Checks of the conformance kit\n"
    yield "`bench plugins check` and `oodbench.testing.check_*` run these:\n"
    kinds = {
        "model": MODEL_CHECKS,
        "scorer": SCORER_CHECKS,
        "statistic": STATISTIC_CHECKS,
        "dataset": DATASET_CHECKS,
    }
    for kind, functions in kinds.items():
        yield f"### check_{kind}\n"
        for function in functions:
            yield f"- `{function.__name__}`: {summary(function).partition('. ')[0]}"
        yield ""


def keys() -> Iterator[str]:
    """Every key of a suite with its type, default and meaning."""
    yield "## Suite keys\n"
    yield "`bench schema` prints the same as a JSON Schema.\n"
    schema = Suite.model_json_schema()
    definitions = schema["$defs"]
    yield from table("The file itself", schema, definitions)
    titles = {
        "`[plugins]`": "Plugins",
        "`[training.NAME]`": "Recipe",
        "`[models.NAME]`": "Model",
        "`[datasets.NAME]`": "DatasetTable",
        "`[statistics.NAME]`": "Statistic",
        "`[scorers.NAME]`": "Scorer",
        "`[protocol]`": "Protocol",
        "`[[comparisons]]`": "Comparison",
    }
    for name in definitions:
        if name not in titles.values():
            raise ValueError(f"the table {name} of suites has no place in the reference")
    for title, name in titles.items():
        yield from table(title, definitions[name], definitions)


def table(title: str, schema: dict[str, Any], tables: dict[str, Any]) -> Iterator[str]:
    """The keys of one table."""
    yield f"### {title}\n"
    for key, found in schema["properties"].items():
        name = found.get("$ref", "").rpartition("/")[2]
        meaning = found.get("description") or tables.get(name, {}).get("description")
        if not meaning:
            raise ValueError(f"the key {key} of {title} has no docstring")
        is_required = key in schema.get("required", ())
        default = "required" if is_required else f"default `{toml(found.get('default'))}`"
        if "$ref" in found or "$ref" in str(found.get("additionalProperties", "")):
            yield f"- `{key}`, a table of its own\n  {meaning}"
        else:
            yield f"- `{key}: {kind_of(found)}`, {default}\n  {' '.join(meaning.split())}"
    yield ""


def kind_of(schema: dict[str, Any]) -> str:
    """A JSON Schema as a type with its bounds."""
    if "enum" in schema:
        return " | ".join(f'"{value}"' for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(kind_of(item) for item in schema["anyOf"])
    kind = schema.get("type", "table")
    if kind == "array":
        items = schema["items"]
        return "list of tables" if "$ref" in items else f"list of {kind_of(items)}"
    signs = {
        "minimum": ">=",
        "exclusiveMinimum": ">",
        "maximum": "<=",
        "exclusiveMaximum": "<",
    }
    bounds = [f"{sign} {schema[bound]}" for bound, sign in signs.items() if bound in schema]
    return " ".join([{"object": "table"}.get(kind, kind), " and ".join(bounds)]).rstrip()


def toml(value: Any) -> str:
    """A default as TOML writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).replace("'", '"')


def reference() -> str:
    """The whole document."""
    return "\n".join([HEAD, *hooks(), *protocols(), *checks(), *keys()]).rstrip() + "\n"


if __name__ == "__main__":
    PATH.write_text(reference(), encoding="utf-8")
