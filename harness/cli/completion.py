"""Completion in shells: names of suites and plugin entries; imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from harness.errors import BenchError
from harness.registry.registered import KINDS, Kind
from harness.registry.registry import Registry


def complete_suites(incomplete: str) -> list[str]:
    """List suite files, folders and shipped suites with a path that begins with a text."""
    # Imported here, because this import takes longer than listing plugins.
    from harness.suite.toml.files import shipped_suites

    folder = Path(os.path.expanduser(os.path.dirname(incomplete)))
    here = [
        os.path.join(os.path.dirname(incomplete), path.name) + ("/" if path.is_dir() else "")
        for path in sorted(folder.glob("*"))
        if path.is_dir() or path.suffix == ".toml"
    ]
    shipped = [
        str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
        for path in sorted(shipped_suites().glob("*.toml"))
    ]
    return [text for text in dict.fromkeys([*here, *shipped]) if text.startswith(incomplete)]


def complete_entries(incomplete: str) -> list[str]:
    """List the plugin entries of every kind that begin with a text."""
    return _names(KINDS, incomplete)


def complete_executors(incomplete: str) -> list[str]:
    """List the executors that begin with a text."""
    return _names(["executors"], incomplete)


def complete_datasets(incomplete: str) -> list[str]:
    """List the data sets and suites that begin with a text."""
    return [*_names(["datasets"], incomplete), *complete_suites(incomplete)]


def _names(kinds: Iterable[Kind], incomplete: str) -> list[str]:
    try:
        registry = Registry()
    except BenchError:  # a shell has no place for messages
        return []
    names = {name for kind in kinds for name in registry.names(kind)}
    return sorted(name for name in names if name.startswith(incomplete))
