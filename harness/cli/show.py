"""`bench show NAME`: what an entry is and which options it takes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from harness.cli.arguments import JsonOption, PluginOption


def show(
    name: Annotated[str, typer.Argument(help="A model, data set, statistic, scorer or executor.")],
    plugin: PluginOption = None,
    json: JsonOption = False,
) -> None:
    """Show a plugin entry and its options."""
    from harness.cli.output import print_json
    from harness.errors import PluginError
    from harness.registry import KINDS, Registry
    from harness.suggest import known_names

    registry = Registry(plugin or ())
    kinds = [kind for kind in KINDS if name in registry.names(kind)]
    if not kinds:
        known = {known for kind in KINDS for known in registry.names(kind)}
        raise PluginError(f"there is no {name!r} ({known_names(name, known)})")
    described = [_describe(registry.get(kind, name)) for kind in kinds]
    if json:
        print_json(described)
        return
    for item in described:
        _print(item)


def _describe(registered: Any) -> dict[str, Any]:
    import inspect

    from harness.options import REQUIRED, describe_options

    target = registered.load()
    return {
        "name": registered.entry.name,
        "kind": registered.kind,
        "summary": registered.entry.summary,
        "version": registered.version,
        "source": str(registered.source),
        "description": inspect.getdoc(target) or "",
        "options": [
            {
                "name": option.name,
                "type": option.type,
                "required": option.default is REQUIRED,
                "default": None if option.default is REQUIRED else option.default,
                "meaning": option.meaning,
            }
            for option in describe_options(target)
        ],
    }


def _print(item: dict[str, Any]) -> None:
    import re

    from harness.cli.output import print_rows

    print(f"{item['name']} ({item['kind'][:-1]}, version {item['version']})")
    print(f"from {item['source']}\n")
    print(re.sub(r"\n*^Arguments:\n(?:[ \t]+.*\n?|\n)+", "\n\n", item["description"], flags=re.M))
    rows = [
        [
            option["name"],
            option["type"],
            "required" if option["required"] else repr(option["default"]),
            option["meaning"],
        ]
        for option in item["options"]
    ]
    print()
    if rows:
        print_rows(["option", "type", "default", "meaning"], rows)
    else:
        print("no options")
