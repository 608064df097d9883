"""Write the generated pages of the documentation from the sources.

`docs/reference/` gets a page each for Python, commands, suite keys, hooks and built-in plugins;
`docs/snippets/rooms.md` and `docs/figures/rooms.svg` show the rooms of the harness. A test
compares the files with the output of this script, so nothing is added without documentation.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from rooms import picture, rooms_table

from harness import contracts, events, hookspecs
from harness.api import parts, suites
from harness.api.compared import ComparedRuns
from harness.api.evaluation import evaluate
from harness.api.planned import PlannedWork
from harness.api.results import Results
from harness.api.scores import Scores
from harness.cli.app import COMMANDS, app
from harness.compute.memory.single import SingleStatistic
from harness.detectors.detector import Detector
from harness.registry.options import REQUIRED, describe_options
from harness.registry.registry import Registry
from harness.suite import Suite
from harness.testing.datasets import DATASET_CHECKS
from harness.testing.models import MODEL_CHECKS
from harness.testing.placement.models import MODEL_PLACEMENT_CHECKS
from harness.testing.placement.statistics import STATISTIC_PLACEMENT_CHECKS
from harness.testing.scorers import SCORER_CHECKS
from harness.testing.statistics import STATISTIC_CHECKS

DOCS = Path(__file__).parent.parent / "docs"
CONTRACTS = """
Dataset HasStamp HasNotes CopiesExamples Fetchable
DensityModel Preparable Trainable Samplable HasLogProbTerms HasLogProbTokens HasLogProbEstimate
Flow Reconstructs EstimatesNoise Statistic HasLayerNorms HasFakeFeatures HasFakeValues
FittedStatistic Scorer NeedsFeatureNames NeedsNormalized HasScoreTerms HasFitInfo Baseline Landmark
Executor RunsElsewhere WritesScript Task
"""
INTERFACE: tuple[Any, ...] = (
    *(suites.load, suites.Suite, PlannedWork, Results, Scores, ComparedRuns),
    *(evaluate, parts.statistic, SingleStatistic, parts.scorer, parts.SingleScorer, Detector),
)
"""Functions and classes of the Python interface, in the order of their use."""
NOTE = "Written by `python scripts/reference.py` from the sources; a test compares both.\n"


def summary(item: Any) -> str:
    """The first paragraph of a docstring.

    Raises:
        ValueError: The docstring is missing, so the item is not documented.
    """
    text = (inspect.getdoc(item) or "").partition("\n\n")[0].replace("\n", " ")
    if not text:
        raise ValueError(f"{item!r} has no docstring")
    return text


def signature(function: Any) -> str:
    """A signature; annotations have no quotes, and functions as defaults are dots."""
    text = str(inspect.signature(function)).replace("'", "")
    return re.sub(r"<function \S+ at \w+>", "...", text)


def entry(code: str, meaning: str, after: str = "") -> str:
    """A list item: code and default on a line, and below them the meaning, wrapped."""
    lines = textwrap.wrap(meaning, 98, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"- `{code}`{after}:", *(f"  {line}" for line in lines)])


# Interfaces of plugins


def interfaces() -> Iterator[str]:
    """Hooks, events, contracts and the checks of the conformance kit."""
    yield "# Hooks and contracts\n"
    yield NOTE
    yield "[Your own scorer](../tutorials/own-scorer.md) and its neighbours show them in use.\n"
    yield from hooks()
    yield from protocols()
    yield from checks()


def hooks() -> Iterator[str]:
    """Every hook with its signature; the events that some of them receive, with their fields."""
    yield "## Hooks\n"
    yield "A plugin module implements any of them, each marked `@hookimpl` of `oodbench`.\n"
    for name, hook in vars(hookspecs).items():
        if name.startswith("bench_"):
            yield entry(f"{name}{signature(hook)}", summary(hook))
    yield "\nEvents are dataclasses of `oodbench.events`, in plain data:\n"
    for event in (
        events.RunStarted,
        events.EpochFinished,
        events.CellFinished,
        events.RunFinished,
    ):
        fields = ", ".join(f"{field.name}: {field.type}" for field in dataclasses.fields(event))
        yield entry(f"{event.__name__}({fields})", summary(event))


def protocols() -> Iterator[str]:
    """Members of every contract with their signatures."""
    yield "\n## Contracts\n"
    yield "Protocols of `oodbench`; a plugin has these members and inherits nothing.\n"
    for name in CONTRACTS.split():
        protocol = getattr(contracts, name)
        yield f"### {name}\n\n{textwrap.fill(summary(protocol), 100)}\n"
        for member in protocol.__annotations__:
            yield f"- `{member}: {protocol.__annotations__[member]}`"
        for member, value in vars(protocol).items():
            if isinstance(value, property):
                kind = inspect.signature(value.fget).return_annotation
                yield entry(f"{member}: {kind}", summary(value))
            elif inspect.isfunction(value) and (member == "__call__" or member[0] != "_"):
                if member != "__init__":
                    yield entry(f"{member}{signature(value)}", summary(value))
        yield ""


def checks() -> Iterator[str]:
    """Every check of the conformance kit with its meaning."""
    yield "## Checks of the conformance kit\n"
    yield "`bench plugins check` and `oodbench.testing.check_*` run these; the checks of placement"
    yield "take the place of the others with `--device emulated`:\n"
    kinds = {
        "model": MODEL_CHECKS,
        "model_placement": MODEL_PLACEMENT_CHECKS,
        "scorer": SCORER_CHECKS,
        "statistic": STATISTIC_CHECKS,
        "statistic_placement": STATISTIC_PLACEMENT_CHECKS,
        "dataset": DATASET_CHECKS,
    }
    for kind, functions in kinds.items():
        yield f"### check_{kind}\n"
        for function in functions:
            yield entry(function.__name__, summary(function).partition(". ")[0])
        yield ""


# Python


def python() -> Iterator[str]:
    """Functions and classes of `oodbench` for users, with arguments, results and errors."""
    yield "# Python interface\n"
    yield NOTE
    yield "[From Python](../tutorials/python.md) shows it in use.\n"
    for item in INTERFACE:
        if inspect.isfunction(item):
            yield f"## {item.__name__}\n\n{called(item)}"
            continue
        yield f"## {item.__name__}\n\n```text\n{without_example(item)}\n```\n"
        members = [(name, value) for name, value in vars(item).items() if name[0] != "_"]
        members += [("__call__", item.__call__)] if "__call__" in vars(item) else []
        found = [(name, value.fget) for name, value in members if isinstance(value, property)]
        for name, get in found:
            yield entry(f"{name}: {inspect.signature(get).return_annotation}", summary(get))
        yield ""
        for name, value in members:
            if inspect.isfunction(value) or isinstance(value, classmethod):
                yield f"### {item.__name__}.{name}\n\n{called(getattr(item, name))}"


def called(function: Callable[..., Any]) -> str:
    """A code block with the signature and the docstring of a function."""
    line = textwrap.fill(f"{function.__name__}{signature(function)}", 96, subsequent_indent="    ")
    return f"```text\n{line}\n\n{without_example(function)}\n```\n"


def without_example(item: Any) -> str:
    """The docstring up to its example."""
    return (inspect.getdoc(item) or "").partition("Example:\n")[0].strip()


# Suite keys


def keys() -> Iterator[str]:
    """Every key of a suite with its type, default and meaning."""
    yield "# Suite keys\n"
    yield NOTE
    yield "`bench schema` prints the same as a JSON Schema.\n"
    schema = Suite.model_json_schema()
    definitions = schema["$defs"]
    yield from table("The file itself", schema, definitions)
    titles = {
        "`[plugins]`": "Plugins",
        "`[training.NAME]`": "Recipe",
        "`[models.NAME]`": "Model",
        "`[models.NAME.checkpoints]`": "Checkpoints",
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
    yield f"## {title}\n"
    for key, found in schema["properties"].items():
        name = found.get("$ref", "").rpartition("/")[2]
        meaning = found.get("description") or tables.get(name, {}).get("description")
        if not meaning:
            raise ValueError(f"the key {key} of {title} has no docstring")
        is_required = key in schema.get("required", ())
        default = "required" if is_required else f"default `{toml(found.get('default'))}`"
        if "$ref" in found or "$ref" in str(found.get("additionalProperties", found.get("anyOf"))):
            yield entry(key, meaning, ", a table of its own")
        else:
            yield entry(f"{key}: {kind_of(found)}", meaning, f", {default}")
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


# Commands


def commands() -> Iterator[str]:
    """Every command with its arguments and options."""
    yield "# Commands\n"
    yield NOTE
    yield "`bench COMMAND -h` prints the same. In a clone, write `uv run bench`.\n"
    yield "\n".join(textwrap.wrap(str(app.info.epilog), 100)) + "\n"
    rows = {
        f"bench {name}" if group == "bench" else f"bench {group} {name}": row
        for group, names in COMMANDS.items()
        for name, row in names.items()
    }
    yield "| command | purpose |\n| --- | --- |"
    for name, (_, purpose) in rows.items():
        yield f"| [`{name}`](#{name.replace(' ', '-')}) | {purpose} |"
    yield ""
    for name, (target, _) in rows.items():
        module, function = target.split(".")
        yield from command(name, getattr(import_module(f"harness.cli.{module}"), function))


def command(name: str, function: Callable[..., Any]) -> Iterator[str]:
    """Usage, meaning, arguments and options of one command."""
    hints = typing.get_type_hints(function, include_extras=True)
    arguments, options = [], []
    usage = [name]
    for key, parameter in inspect.signature(function).parameters.items():
        kind, info = typing.get_args(hints[key])
        if type(info).__name__ == "ArgumentInfo":
            metavar = str(info.metavar or key.upper())
            is_required = parameter.default is parameter.empty and not info.default_factory
            usage.append(metavar if is_required else f"[{metavar}]")
            arguments.append(entry(metavar, _help(name, info, parameter), _values(kind)))
        else:
            options.append(entry(_spelling(key, kind, info), _help(name, info, parameter)))
    yield f"## {name}\n"
    yield f"    {' '.join(usage)}{' [OPTIONS]' if options else ''}\n"
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    yield "\n\n".join(textwrap.fill(text, 100) for text in paragraphs) + "\n"
    yield from [*arguments, *options]
    yield ""


def _spelling(key: str, kind: Any, info: Any) -> str:
    """An option with its short form and the form of its value: `-o, --option KEY=VALUE`."""
    # In `Annotated`, typer.Option takes the first name for its `default`.
    found = [name for name in (info.default, *info.param_decls) if str(name).startswith("-")]
    names = ", ".join(found or [f"--{key.replace('_', '-')}"])
    values = typing.get_args(kind)
    if type(None) in values or typing.get_origin(kind) is list:
        kind = values[0]  # X of `X | None` and of `list[X]`
    if kind is bool:
        return names
    if typing.get_origin(kind) is Literal:
        return f"{names} {'|'.join(typing.get_args(kind))}"
    words = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}
    bounds = [f">={info.min:g}"] if info.min is not None else []
    bounds += [f"<={info.max:g}"] if info.max is not None else []
    return f"{names} {info.metavar or words[kind]}{','.join(bounds)}"


def _values(kind: Any) -> str:
    """The values of an argument, where only some are allowed."""
    if typing.get_origin(kind) is not Literal:
        return ""
    return ": " + ", ".join(f"`{value}`" for value in typing.get_args(kind))


def _help(name: str, info: Any, parameter: inspect.Parameter) -> str:
    """Help and default of a parameter.

    Raises:
        ValueError: The parameter has no help.
    """
    if not info.help:
        raise ValueError(f"{name}: the parameter {parameter.name} has no help")
    is_told = info.show_default is not False and parameter.default not in (
        parameter.empty,
        None,
        False,
        "",
    )
    return f"{info.help} Default: `{parameter.default}`." if is_told else str(info.help)


# Built-in plugins


def built_in() -> Iterator[str]:
    """Every built-in model, statistic, scorer, data set and executor."""
    yield "# Built-in models, statistics, scorers and data sets\n"
    yield NOTE
    yield "`bench show NAME` prints the same, for installed plugins and plugin files too.\n"
    registry = Registry([])
    for kind, title in {
        "models": "Models",
        "statistics": "Statistics",
        "scorers": "Scorers",
        "datasets": "Data sets",
        "executors": "Executors",
    }.items():
        yield f"## {title}\n"
        for registered in registry.entries(kind):
            if registered.source.plugin == kind:  # the built-in plugin of that kind
                yield from plugin(registered)


def plugin(registered: Any) -> Iterator[str]:
    """Description and options of one plugin."""
    target = registered.load()
    yield f"### {registered.entry.name}\n"
    description = inspect.getdoc(target) or ""
    text = re.sub(r"\n*^Arguments:\n(?:[ \t]+.*\n?|\n)+", "\n\n", description, flags=re.M)
    yield f"```text\n{text.strip()}\n```\n"
    for option in describe_options(target):
        default = "required" if option.default is REQUIRED else f"default `{option.default!r}`"
        yield entry(f"{option.name}: {option.type}", option.meaning, f", {default}")
    yield ""


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "reference/python-interface.md": python,
    "reference/interfaces.md": interfaces,
    "reference/suite-keys.md": keys,
    "reference/commands.md": commands,
    "reference/built-in.md": built_in,
    "snippets/rooms.md": rooms_table,
    "figures/rooms.svg": picture,
}
"""Generated files, relative to `docs/`."""


def page(name: str) -> str:
    """The text of one generated file."""
    return "\n".join(PAGES[name]()).rstrip() + "\n"


if __name__ == "__main__":
    for name in PAGES:
        DOCS.joinpath(name).write_text(page(name), encoding="utf-8")
