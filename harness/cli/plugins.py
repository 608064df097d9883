"""`bench plugins list` and `bench plugins new`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.arguments import JsonOption, PluginOption
from harness.cli.output import print_json, print_rows
from harness.registry.registered import KINDS, Source
from harness.registry.registry import Registry
from harness.registry.scaffold import PluginKind, new_file, new_package


def new(
    kind: Annotated[PluginKind, typer.Argument(help="The kind to begin.", show_default=False)],
    name: Annotated[str, typer.Argument(help="The name for use in suites.", show_default=False)],
    package: Annotated[
        bool, typer.Option("--package", help="Write an installable distribution with tests.")
    ] = False,
) -> None:
    """Begin a new plugin in the current folder.

    Writes a commented file, ready to run; nothing is overwritten.
    """
    written = new_package(kind, name, Path()) if package else [new_file(kind, name, Path())]
    for path in written:
        print(f"wrote {path}")
    first = written[0]
    given = "" if package else f" -p {first}"
    print("next:")
    if package:
        print(f"  uv pip install -e {first.parent} pytest")
        print(f"  pytest {first.parent}")
    print(f"  bench plugins check {name if package else first}")
    print(f"  bench list {kind}s{given}")
    if not package:
        print(f'  in a suite: plugins.paths = ["{first}"]')


COLUMNS = ("plugin", "distribution", "version", "state")
WIDTH = 80
"""Maximum width of the list of plugins, in characters, where names permit."""


def list_plugins(plugin: PluginOption, json: JsonOption = False) -> None:
    """List plugins: active, blocked or broken, and why."""
    registry = Registry(plugin)
    rows = [_describe(registry, source, "active") for source in registry.sources]
    rows += [_describe(registry, source, "blocked") for source in registry.blocked]
    rows += [_describe(registry, item.source, "broken", item.reason) for item in registry.broken]
    if json:
        print_json(rows)
    else:
        print_rows([*COLUMNS, "offers"], [*_lines(rows)])


def _lines(items: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield the table rows of plugins; long offers take several rows, up to WIDTH characters."""
    heads = [[str(item[name]) for name in COLUMNS] for item in items]
    used = sum(2 + max(map(len, column)) for column in zip(COLUMNS, *heads, strict=True))
    for head, item in zip(heads, items, strict=True):
        names: dict[str, list[str]] = {}
        for offer in item["offers"]:
            kind, _, name = offer.partition(": ")
            names.setdefault(kind, []).append(name)
        offers = "; ".join(f"{kind}: {', '.join(some)}" for kind, some in names.items())
        lines = textwrap.wrap(
            item["reason"] or offers,
            max(WIDTH - used, 16),
            break_long_words=False,
            break_on_hyphens=False,
        )
        first, *rest = lines or [""]
        yield [*head, first]
        yield from ([*[""] * len(head), line] for line in rest)


def _describe(registry: Registry, source: Source, state: str, reason: str = "") -> dict[str, Any]:
    found = [item for kind in KINDS for item in registry.entries(kind) if item.source == source]
    offers = [f"{item.kind}: {item.entry.name}" for item in found]
    return {**vars(source), "state": state, "reason": reason, "offers": offers}
