"""`bench plugins check`: run the conformance kit on a plugin."""

from __future__ import annotations

import re
import textwrap
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from harness.cli.arguments import JsonOption, PluginOption
from harness.cli.completion import complete_entries
from harness.cli.output import print_json, print_rows
from harness.domain import Domain, Images, Tokens
from harness.errors import PluginError
from harness.registry.registered import Registered
from harness.registry.registry import Registry
from harness.testing.checks import Check
from harness.testing.entries import CHECKED_KINDS, check_registered
from harness.testing.placement.entries import check_registered_placement

WIDTH = 90
"""Maximum width of explanations, in characters."""


def check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            help="A model, data set, statistic or scorer; or a plugin file, to check all entries.",
            autocompletion=complete_entries,
            show_default=False,
        ),
    ],
    option: Annotated[
        list[str] | None,
        typer.Option("-o", "--option", metavar="KEY=VALUE", help="Plugin option, as in TOML."),
    ] = None,
    domain: Annotated[
        str,
        typer.Option(
            metavar="CxHxW",
            help="A small domain to build models for; LENGTHxVOCABULARY for text.",
            show_default="1x4x4, or 8x256 for text",
        ),
    ] = "",
    unit_domain: Annotated[
        str,
        typer.Option(
            metavar="CxHxWxBITS",
            help="A domain with at most 4,096 examples; their probabilities are summed.",
            show_default="1x2x2x2, or 4x4 for text",
        ),
    ] = "",
    device: Annotated[
        Literal["cpu", "emulated"],
        typer.Option(help="emulated: check instead that models and statistics work on a GPU."),
    ] = "cpu",
    *,
    plugin: PluginOption,
    json: JsonOption = False,
) -> None:
    """Check a plugin with the conformance kit.

    Prints the meaning or the problem for each check. Exit status 1 if a check failed.
    """
    is_file = what.endswith(".py") or Path(what).is_file()
    registry = Registry([*(plugin), *([what] if is_file else [])])
    entries = _entries_of_file(registry, Path(what)) if is_file else [_entry(registry, what)]
    options = _options(option or (), entries)
    domains = _domain("--domain", domain), _domain("--unit-domain", unit_domain)
    run_checks = check_registered if device == "cpu" else check_registered_placement
    found = [(item, run_checks(registry, item, options, *domains)) for item in entries]
    if json:
        print_json([_described(item, checks) for item, checks in found])
    else:
        for item, checks in found:
            _print(item, checks)
    failed = any(check.outcome == "failed" for _, checks in found for check in checks)
    raise typer.Exit(1 if failed else 0)


def _entries_of_file(registry: Registry, path: Path) -> list[Registered]:
    """List the entries in a plugin file that can be checked.

    Raises:
        PluginError: The file has no such entry, a hook fails, or another plugin has an entry with
            the same name.
    """
    where = str(path.resolve())
    for broken in registry.broken:
        if broken.source.where == where:
            raise PluginError(str(broken))
    entries = [
        registry.get(kind, item.entry.name)
        for kind in CHECKED_KINDS
        for item in registry.entries(kind)
        if item.source.where == where
    ]
    if not entries:
        raise PluginError(f"{path} offers no model, data set, statistic or scorer to check")
    return entries


def _entry(registry: Registry, name: str) -> Registered:
    """Find the entry with a name, among the kinds that can be checked.

    Raises:
        PluginError: No entry has this name, or entries in several kinds have this name.
    """
    kinds = [kind for kind in CHECKED_KINDS if name in registry.names(kind)]
    if len(kinds) > 1:
        raise PluginError(f"{name!r} is in {' and in '.join(kinds)}: give the file of the plugin")
    if not kinds:
        if Path(name).is_dir():
            hint = "a folder: install it (uv pip install -e), then give the name of an entry"
            raise PluginError(f"{name} is {hint}")
        raise registry.missing(f"{name!r} to check", name, CHECKED_KINDS)
    return registry.get(kinds[0], name)


def _options(given: Sequence[str], entries: list[Registered]) -> dict[str, Any]:
    """Parse options: values as in TOML, or as text if the value is not valid TOML.

    Raises:
        PluginError: An option is not KEY=VALUE, or is ambiguous because there are several entries.
    """
    if given and len(entries) > 1:
        names = ", ".join(item.entry.name for item in entries)
        raise PluginError(f"-o {given[0]} is ambiguous ({names}): give a name, and the file by -p")
    options = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise PluginError(f"-o {text}: expected KEY=VALUE, for example -o steps=2")
        try:
            options[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            options[key] = value
    return options


def _domain(flag: str, text: str) -> Domain | None:
    """Parse a domain of images or text, as in `1x4x4`, `1x2x2x2` or `8x256`; None without text.

    Raises:
        PluginError: The text has another form, or the domain is invalid.
    """
    if not text:
        return None
    if re.fullmatch(r"\d{1,9}(x\d{1,9}){1,3}", text):
        numbers = [int(number) for number in text.split("x")]
        try:
            return Tokens(*numbers) if len(numbers) == 2 else Images(*numbers)
        except ValueError as error:
            raise PluginError(f"{flag} {text}: {error}") from None
    raise PluginError(
        f"{flag} {text}: expected CHANNELSxHEIGHTxWIDTH, CHANNELSxHEIGHTxWIDTHxBITS or "
        "LENGTHxVOCABULARY, such as 1x4x4, 1x2x2x2 or 8x256"
    )


def _described(item: Registered, checks: list[Check]) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "name": item.entry.name,
        "version": item.version,
        "source": str(item.source),
        "checks": checks,
    }


def _print(item: Registered, checks: list[Check]) -> None:
    print(f"{item.kind[:-1]} {item.entry.name}, version {item.version}, of {item.source}\n")
    print_rows(["check", "outcome", "what it means"], [row for c in checks for row in _rows(c)])
    outcomes = [check.outcome for check in checks]
    counts = [f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes)]
    print(f"\n{len(checks)} checks: {', '.join(counts)}")
    if item.kind == "models" and set(outcomes) == {"failed"}:
        print("Can the model be built for these domains? Give options with -o, or --domain.")
    print()


def _rows(check: Check) -> list[list[str]]:
    """Make the table rows for a check; long explanations take several rows."""
    first, *rest = textwrap.wrap(_explained(check), WIDTH) or [""]
    return [[check.name, check.outcome, first], *(["", "", line] for line in rest)]


def _explained(check: Check) -> str:
    """Explain a check: the requirement and any remark if passed, otherwise the problem."""
    if check.outcome != "passed":
        return check.message
    return f"{check.meaning} ({check.message})" if check.message else check.meaning
