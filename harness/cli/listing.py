"""`bench list KIND`, `bench show NAME` and `bench schema`."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from harness.cli.arguments import JsonOption, PluginOption
from harness.cli.completion import complete_entries
from harness.cli.output import print_items, print_json, print_rows
from harness.errors import PluginError
from harness.registry.registered import KINDS, Kind
from harness.registry.registry import Registry
from harness.text import known_names

Listed: TypeAlias = Kind | Literal["suites"]
LISTED: tuple[Listed, ...] = (*KINDS, "suites")


def _complete_kinds(incomplete: str) -> list[str]:
    return [name for name in LISTED if name.startswith(incomplete)]


def list_entries(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help=f"The kind to list, in singular or plural: {', '.join(LISTED)}.",
            autocompletion=_complete_kinds,
            show_default=False,
        ),
    ],
    plugin: PluginOption,
    json: JsonOption = False,
) -> None:
    """List models, data sets, scorers, ..."""
    kinds = {name.removesuffix("s"): name for name in LISTED}
    listed = kinds.get(kind.removesuffix("s"))
    if listed is None:
        raise PluginError(f"there is no kind {kind!r} to list ({known_names(kind, LISTED)})")
    if listed == "suites":
        _list_suites(json)
        return
    rows = [
        {
            "name": item.entry.name,
            "summary": item.entry.summary,
            "version": item.version,
            "plugin": item.source.plugin,
            "distribution": item.source.distribution,
        }
        for item in Registry(plugin).entries(listed)
    ]
    print_items(rows, ["name", "summary", "version", "from"], _entry_row, json)


def _entry_row(item: dict[str, str]) -> list[str]:
    origin = f"{item['distribution']}:{item['plugin']}"
    return [item["name"], item["summary"], item["version"], origin]


def _list_suites(json: bool) -> None:
    """List the suites in the current folder, and the suites shipped with the project by name."""
    # Imported here, because this import takes longer than listing plugins.
    from harness.suite.toml.files import read_text, shipped_by_name

    shipped = shipped_by_name()
    own = [
        path
        for path in sorted(Path("suites").glob("*.toml"))
        if path.resolve() not in shipped.values()
    ]
    rows = []
    for name, path in ({path.as_posix(): path for path in own} | shipped).items():
        try:
            values = tomllib.loads(read_text(path))
            title = str(values.get("title", ""))
        except (OSError, ValueError) as error:
            title = f"cannot be read: {error}"
        rows.append({"suite": name, "title": title, "path": path})
    print_items(rows, ["suite", "title"], lambda row: [row["suite"], row["title"]], json)


def schema() -> None:
    """Print the JSON Schema for suites."""
    from harness.suite import Suite  # here, because this import takes longer than `bench list`

    header = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    print_json(header | Suite.model_json_schema())


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A model, data set, statistic, scorer or executor.",
            autocompletion=complete_entries,
        ),
    ],
    plugin: PluginOption,
    json: JsonOption = False,
) -> None:
    """Show a plugin entry with all options."""
    registry = Registry(plugin)
    kinds = [kind for kind in KINDS if name in registry.names(kind)]
    if not kinds:
        raise registry.missing(repr(name), name, KINDS)
    described = [_describe(registry.get(kind, name)) for kind in kinds]
    if json:
        print_json(described)
    else:
        for item in described:
            _print(item)


def _describe(registered: Any) -> dict[str, Any]:
    # Imported here, because pydantic takes longer to import than plugins take to list.
    from harness.registry.options import describe_options

    target = registered.load()
    return {
        "name": registered.entry.name,
        "kind": registered.kind,
        "summary": registered.entry.summary,
        "version": registered.version,
        "source": str(registered.source),
        "description": inspect.getdoc(target) or "",
        "options": describe_options(target),
    }


def _print(item: dict[str, Any]) -> None:
    print(f"{item['name']} ({item['kind'][:-1]}, version {item['version']})")
    print(f"from {item['source']}\n")
    print(re.sub(r"\n*^Arguments:\n(?:[ \t]+.*\n?|\n)+", "\n\n", item["description"], flags=re.M))
    rows = []
    for option in item["options"]:
        default = "required" if option.required else repr(option.default)
        rows.append([option.name, option.type, default, option.meaning])
    print()
    if rows:
        print_rows(["option", "type", "default", "meaning"], rows)
    else:
        print("no options")
