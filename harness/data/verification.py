"""Verification of converted data sets: stored files by checksum, content by the raw data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.contracts import HasNotes
from harness.data.folder import DataFolder, described, fingerprint, read_split, remarks
from harness.data.questions import notes_on_dataset
from harness.domain import domain_of
from harness.errors import BenchError, MissingDataError, PluginError
from harness.registry.options import dataset_options, validate_options
from harness.registry.registry import Registry
from harness.store.contents import Record, files_problem, find_record
from harness.store.layout import DATASETS
from harness.store.records import Manifest, Store
from harness.suite import Component, DatasetComponent

SAME = "same"
"""`Verified.source` for content equal to the raw data."""


@dataclass(frozen=True)
class Verified:
    """Outcome of verifying a converted data set in full.

    Attributes:
        problem: Empty for a sound data set.
        source: Outcome of reading the raw data again: `same`, or the reason for not comparing.
        notes: Remarks of the plugin, and what should be questioned about sound files.
    """

    name: str
    key: str
    size: int
    problem: str
    source: str
    notes: list[str] = field(default_factory=list)


def verify(
    folder: DataFolder,
    components: Sequence[DatasetComponent] = (),
    requested: Sequence[str] = (),
) -> Iterator[Verified]:
    """Read converted data sets in full: compare checksums, then the content with the raw data.

    A damaged or outdated data set is set aside and converted again on the next use.

    Arguments:
        folder: Folder with the converted data sets.
        components: Data sets to verify; if empty, all data sets in the folder, with any options.
        requested: Plugins requested on the command line, in the form accepted by `Registry`.

    Raises:
        MissingDataError: A named data set has never been converted and lacks raw files.
    """
    if components:
        found = [(folder.converted_key(component), component) for component in components]
        for key, component in found:
            record = find_record(folder.store, DATASETS, key)
            if record is not None:
                yield _verified(folder, record, component)
        return
    registry = Registry(requested)
    for key in folder.store.keys(DATASETS):
        record = find_record(folder.store, DATASETS, key)
        if record is not None:
            yield _verified(folder, record, registry)


def _verified(folder: DataFolder, record: Record, wanted: DatasetComponent | Registry) -> Verified:
    """Verify a record; `wanted` is the data set, or the registry with the data set's plugin."""
    if record.manifest is None:
        return _set_aside(folder, record, record.key, record.problem)
    identity = record.manifest.inputs["dataset"]
    name = _name(identity)
    problem = files_problem(folder.store.path(DATASETS, record.key), record.manifest)
    if problem:
        return _set_aside(folder, record, name, problem)
    known = None
    try:
        known = (
            wanted
            if isinstance(wanted, DatasetComponent)
            else _rebuilt(wanted, identity, name, Path(record.manifest.facts.get("folder", "")))
        )
        if folder.key(known) != record.key:
            source = "not compared: converted from an earlier state of the raw files"
            return _sound(folder.store, record, name, source, known)
        problem = _difference(known, record.manifest.facts["fingerprints"])
    except MissingDataError:
        return _sound(folder.store, record, name, "not compared: raw files are missing", known)
    except PluginError as error:
        return _sound(folder.store, record, name, f"not compared: {error}", known)
    except Exception as error:  # an error in a plugin must not end the verification
        text = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
        return Verified(name, record.key, _size(record), f"raw data: {text}", "")
    if problem:
        return _set_aside(folder, record, name, problem)
    return _sound(folder.store, record, name, SAME, known)


def _difference(component: DatasetComponent, fingerprints: Mapping[str, str]) -> str:
    """Read the raw data and describe the first difference; empty if there is none."""
    dataset = component.dataset
    if set(dataset.splits) != set(fingerprints):
        return f"the raw data has the splits {', '.join(dataset.splits)}"
    for split in dataset.splits:
        if fingerprint(read_split(component.name, dataset, split)) != fingerprints[split]:
            return f"{split} is not what the raw data has now, although the stamp is the same"
    return ""


def _rebuilt(
    registry: Registry, identity: Mapping[str, Any], name: str, folder: Path
) -> DatasetComponent:
    """Build the data set of a record from the plugin and options in the manifest.

    Arguments:
        registry: The plugins.
        identity: Plugin and options.
        name: Name for the data set.
        folder: Folder for relative paths in the options.

    Raises:
        PluginError: The plugin is not known, or is another version.
    """
    if identity["plugin"] not in registry.names("datasets"):
        raise PluginError(f"plugin {identity['plugin']!r} is not known; name its file with -p")
    registered = registry.get("datasets", identity["plugin"])
    if {**registered.identity(), "options": identity["options"]} != identity:
        raise PluginError(f"plugin {identity['plugin']!r} has changed since the conversion")
    target = registered.load()
    options = dict(identity["options"])
    sources = {}
    for option in dataset_options(target):
        sources[option] = _rebuilt(registry, options[option], option, folder)
        options[option] = option
    checked = validate_options(target, options)
    component = Component(name, registered, checked, sources, folder=folder)
    return DatasetComponent(**vars(component), dataset=component.build())


def _set_aside(folder: DataFolder, record: Record, name: str, problem: str) -> Verified:
    aside = folder.store.quarantine(DATASETS, record.key)
    return Verified(name, record.key, _size(record), f"{problem}; set aside as {aside}", "")


def _sound(
    store: Store, record: Record, name: str, source: str, known: DatasetComponent | None
) -> Verified:
    assert record.manifest is not None, "a sound record has a manifest"
    notes = _notes_on_record(store, record.key, record.manifest, known, source == SAME)
    return Verified(name, record.key, _size(record), "", source, notes)


def _notes_on_record(
    store: Store, key: str, manifest: Manifest, known: DatasetComponent | None, was_read: bool
) -> list[str]:
    """Write the notes on a record; digests that are not stored are computed from the arrays.

    Arguments:
        store: Data folder.
        key: Key of the record.
        manifest: Manifest of the record.
        known: The data set, if the plugin is known.
        was_read: The raw data has just been read.
    """
    facts, plugin = manifest.facts, manifest.inputs["dataset"]["plugin"]
    older = (
        f"{plugin} was converted before they were kept; to convert it again, delete "
        f"{store.path(DATASETS, key)}"
    )
    if "domain" in facts:
        domain = domain_of(facts["domain"])
    elif known is not None:
        domain = known.dataset.domain
    else:
        return [f"notes on the data are unknown: {older}"]
    prepared, unknown = described(store, key, manifest, plugin, domain), []
    if "notes" not in facts and known is not None and was_read:
        prepared = replace(prepared, notes=tuple(remarks(known.dataset)))
    elif "notes" not in facts and (known is None or isinstance(known.dataset, HasNotes)):
        unknown = [f"remarks of the plugin on its files are unknown: {older}"]
    for split in prepared.counts:
        prepared.contents(split)
    return notes_on_dataset(prepared) + unknown


def _size(record: Record) -> int:
    files = record.manifest.files if record.manifest is not None else {}
    return sum(file["bytes"] for file in files.values())


def _name(identity: Mapping[str, Any]) -> str:
    """Return plugin and options in human-readable form."""
    options = ", ".join(f"{name} = {_shown(value)}" for name, value in identity["options"].items())
    return f"{identity['plugin']}({options})"


def _shown(value: Any) -> str:
    return str(value["plugin"]) if isinstance(value, dict) and "plugin" in value else repr(value)
