"""Catalog of data sets: converted, ready for conversion, or still to be downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from harness.contracts import Fetchable
from harness.data.folder import DataFolder
from harness.data.questions import notes_on_dataset
from harness.errors import BenchError, DataError, MissingDataError, OptionError, PluginError
from harness.registry.options import dataset_options, validate_options
from harness.registry.registry import Registry
from harness.store.layout import DATASETS
from harness.suite import Component, DatasetComponent, load_suite
from harness.suite.toml.files import shipped_by_name
from harness.text import known_names

State: TypeAlias = Literal["converted", "ready", "missing", "unusable"]


@dataclass(frozen=True)
class Item:
    """State of a data set on this machine.

    Attributes:
        state: `converted`; `ready`, with all raw files available or not needed, to be converted
            on first use; `missing`; or `unusable`, if available files are not valid.
        problem: Reason for the state `missing` or `unusable`.
        shape: Shape per example, for example `3x32x32`.
        counts: Number of examples in each split; empty before conversion.
        size: Bytes in the converted splits; 0 before conversion.
        fingerprints: sha256 over shape and content, by split; empty before conversion.
        licence: Licence, for a data set that can be fetched; otherwise empty.
        home: Address of the source, for a data set that can be fetched; otherwise empty.
        notes: Remarks of the plugin, and what should be questioned: equal examples, splits without
            contrast; empty before conversion.
    """

    name: str
    state: State
    problem: str
    shape: str
    counts: dict[str, int] = field(default_factory=dict)
    size: int = 0
    fingerprints: dict[str, str] = field(default_factory=dict)
    licence: str = ""
    home: str = ""
    notes: list[str] = field(default_factory=list)


def find_datasets(names: Sequence[str], requested: Sequence[str] = ()) -> list[DatasetComponent]:
    """Find data sets by plugin name, at default options, or all data sets in a suite.

    Arguments:
        names: Plugin names, suite files (`.toml`) and names of shipped suites; if empty, every
            plugin without required options is found.
        requested: Plugins requested on the command line, in the form accepted by `Registry`.

    Raises:
        BenchError: A name is unknown, a plugin needs options, or a suite cannot be used.
    """
    registry = Registry(requested)
    known = registry.names("datasets")
    if not names:
        return [item for name in known if (item := _default(registry, name)) is not None]
    found: list[DatasetComponent] = []
    for name in names:
        if name.endswith(".toml") or (name not in known and name in shipped_by_name()):
            found += load_suite(Path(name), requested).datasets.values()
        else:
            found.append(_named(registry, name))
    return found


def _named(registry: Registry, name: str) -> DatasetComponent:
    known = registry.names("datasets")
    if name not in known:
        raise PluginError(f"there is no data set {name!r} ({known_names(name, known)})")
    found = _default(registry, name)
    if found is None:
        raise PluginError(f"data set {name!r} needs options: name a suite with these options")
    return found


def _default(registry: Registry, name: str) -> DatasetComponent | None:
    """Build a plugin's data set at default options; None if the plugin requires options."""
    registered = registry.get("datasets", name)
    target = registered.load()
    try:
        options = validate_options(target, {})
    except OptionError:
        return None
    if dataset_options(target):
        return None
    dataset = Component(name, registered, options).build()
    return DatasetComponent(name, registered, options, dataset=dataset)


def describe(folder: DataFolder, component: DatasetComponent) -> Item:
    """Describe the state of a data set without reading any image."""
    about: dict[str, Any] = {"name": component.name, "shape": str(component.dataset.domain)}
    if isinstance(component.dataset, Fetchable):
        about |= {"licence": component.dataset.licence, "home": component.dataset.home}
    try:
        found = folder.find(component)
    except MissingDataError as error:
        return Item(state="missing", problem=str(error), **about)
    except DataError as error:
        return Item(state="unusable", problem=str(error), **about)
    if found is None:
        return Item(state="ready", problem="", **about)
    files = folder.store.manifest(DATASETS, found.key).files
    about |= {"counts": found.counts, "fingerprints": found.fingerprints}
    about |= {"notes": notes_on_dataset(found)}
    size = sum(file["bytes"] for file in files.values())
    return Item(state="converted", problem="", size=size, **about)


def fetch(components: Sequence[DatasetComponent], say: Callable[[str], None]) -> list[str]:
    """Download the raw files for data sets and for the source data sets behind them.

    Arguments:
        components: Data sets to fetch where possible; existing files are kept.
        say: Called with a message about each step.

    Returns:
        One message for each data set that could not be fetched.
    """
    problems = []
    for component in {id(item.dataset): item for item in _with_sources(components)}.values():
        if not isinstance(component.dataset, Fetchable):
            say(f"{component.name}: nothing to download")
            continue
        say(f"{component.name}: from {component.dataset.home} ({component.dataset.licence})")
        try:
            component.dataset.fetch(say)
        except BenchError as error:
            problems.append(str(error))
    return problems


def _with_sources(components: Sequence[DatasetComponent]) -> Iterator[DatasetComponent]:
    for component in components:
        yield from _with_sources(list(component.sources.values()))
        yield component
