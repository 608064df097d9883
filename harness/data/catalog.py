"""What data there is: converted sets, sets that can be converted, and sets to be fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from harness.contracts import Fetchable
from harness.data.folder import DataFolder
from harness.errors import BenchError, DataError, MissingDataError, OptionError, PluginError
from harness.registry.options import dataset_options, validate_options
from harness.registry.registry import Registry
from harness.store.contents import Record, find_record, record_problem
from harness.store.layout import DATASETS
from harness.store.records import Store
from harness.suite import Component, DatasetComponent, load_suite
from harness.text import known_names

State: TypeAlias = Literal["converted", "ready", "missing", "unusable"]


@dataclass(frozen=True)
class Item:
    """A data set as it is on this machine.

    Attributes:
        state: `converted`; `ready`, its files are there or it needs none, and it is converted
            when first used; `missing`; or `unusable`, there but not what it should be.
        problem: Why it is missing or unusable.
        shape: Of an example, such as `3x32x32`.
        counts: Number of examples of each split; empty unless it is converted, as are the next.
        size: Bytes of the converted splits.
        fingerprints: sha256 over shape and content of each split.
        licence: Of a set that can be fetched; as is `home`.
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


@dataclass(frozen=True)
class Verified:
    """A converted data set whose files were read in full; `problem` is empty if all is well."""

    name: str
    key: str
    size: int
    problem: str


def find_datasets(names: Sequence[str], requested: Sequence[str] = ()) -> list[DatasetComponent]:
    """Data sets by plugin name, at default options, or all of a suite.

    Arguments:
        names: Names of plugins and paths of suites (`.toml`); without any, every plugin that needs
            no option.
        requested: Plugins asked for on the command line, as `Registry` takes them.

    Raises:
        BenchError: A name is unknown, a plugin needs options, or a suite cannot be used.
    """
    registry = Registry(requested)
    if not names:
        known = registry.names("datasets")
        return [item for name in known if (item := _default(registry, name)) is not None]
    found: list[DatasetComponent] = []
    for name in names:
        if name.endswith(".toml"):
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
        raise PluginError(f"data set {name!r} needs options: name a suite that gives them")
    return found


def _default(registry: Registry, name: str) -> DatasetComponent | None:
    """A plugin's data set at its default options; None if it needs others."""
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
    """What there is of a data set; reads no image."""
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
    size = sum(file["bytes"] for file in files.values())
    return Item(state="converted", problem="", size=size, **about)


def fetch(components: Sequence[DatasetComponent], say: Callable[[str], None]) -> list[str]:
    """Download the raw files of data sets and of those that they are made from.

    Arguments:
        components: Each is fetched if it can be; files that are there are kept.
        say: Told of each step.

    Returns:
        What could not be had, a message each.
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


def verify(folder: DataFolder, components: Sequence[DatasetComponent] = ()) -> Iterator[Verified]:
    """Read converted data sets in full and compare their checksums.

    A damaged one is set aside, so that it is converted again when it is next used.

    Arguments:
        folder: Where they are.
        components: Which; without any, all that are in the folder, whatever their options.

    Raises:
        MissingDataError: One that is named was never converted, and has no raw files.
    """
    keys = [folder.converted_key(component) for component in components]
    for key in keys or folder.store.keys(DATASETS):
        record = find_record(folder.store, DATASETS, key)
        if record is not None:
            yield _verified(folder.store, record)


def _verified(store: Store, record: Record) -> Verified:
    name, size = record.key, 0
    if record.manifest is not None:
        name = _record_name(record.manifest.inputs)
        size = sum(file["bytes"] for file in record.manifest.files.values())
    problem = record_problem(store, record)
    if problem:
        problem += f"; set aside as {store.quarantine(DATASETS, record.key)}"
    return Verified(name, record.key, size, problem)


def _record_name(inputs: dict[str, Any]) -> str:
    """Plugin and options of a record, as a person would say them."""
    identity = inputs["dataset"]
    options = ", ".join(f"{name} = {_shown(value)}" for name, value in identity["options"].items())
    return f"{identity['plugin']}({options})"


def _shown(value: Any) -> str:
    return str(value["plugin"]) if isinstance(value, dict) and "plugin" in value else repr(value)
