"""`bench list KIND` and `bench plugins list`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from harness.cli.arguments import JsonOption, PluginOption
from harness.cli.output import print_json, print_rows


def list_entries(
    kind: Annotated[
        Literal["models", "datasets", "statistics", "scorers", "executors", "suites"],
        typer.Argument(help="What to list.", show_default=False),
    ],
    plugin: PluginOption = None,
    json: JsonOption = False,
) -> None:
    """List models, data sets, scorers, ..."""
    if kind == "suites":
        _list_suites(json)
        return
    from harness.registry import Registry

    rows = [
        {
            "name": item.entry.name,
            "summary": item.entry.summary,
            "version": item.version,
            "plugin": item.source.plugin,
            "distribution": item.source.distribution,
        }
        for item in Registry(plugin or ()).entries(kind)
    ]
    if json:
        print_json(rows)
        return
    print_rows(
        ["name", "summary", "version", "from"],
        [
            [row["name"], row["summary"], row["version"], f"{row['distribution']}:{row['plugin']}"]
            for row in rows
        ],
    )


def _list_suites(json: bool) -> None:
    """Suites of the current folder and those that come with the project."""
    import tomllib

    from harness.suite.files import shipped_suites

    rows = []
    folders = {Path("suites").resolve(): "suites", shipped_suites(): ""}
    for folder, shown in folders.items():
        for path in sorted(folder.glob("*.toml")):
            try:
                values = tomllib.loads(path.read_text(encoding="utf-8"))
                title = str(values.get("title", ""))
            except (OSError, ValueError) as error:
                title = f"cannot be read: {error}"
            rows.append({"suite": f"{shown}/{path.name}" if shown else str(path), "title": title})
    if json:
        print_json(rows)
    else:
        print_rows(["suite", "title"], [[row["suite"], row["title"]] for row in rows])


def list_plugins(plugin: PluginOption = None, json: JsonOption = False) -> None:
    """List plugins with their state: active, blocked or broken, and why."""
    from harness.registry import KINDS, Registry

    registry = Registry(plugin or ())
    rows = [(source, "active", "") for source in registry.sources]
    rows += [(source, "blocked", "") for source in registry.blocked]
    rows += [(broken.source, "broken", broken.reason) for broken in registry.broken]
    offers = {
        source: [
            f"{kind}: {item.entry.name}"
            for kind in KINDS
            for item in registry.entries(kind)
            if item.source == source
        ]
        for source, _, _ in rows
    }
    if json:
        print_json(
            [
                {**vars(source), "state": state, "reason": reason, "offers": offers[source]}
                for source, state, reason in rows
            ]
        )
        return
    print_rows(
        ["plugin", "distribution", "version", "state", "offers"],
        [
            [
                source.plugin,
                source.distribution,
                source.version,
                state,
                reason or ", ".join(offers[source]),
            ]
            for source, state, reason in rows
        ],
    )
