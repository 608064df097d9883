"""Cards: what results need to know of a data set, kept in the store where its images are not.

An import brings them along, so that reports can be made on a machine without the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.data.folder import DataFolder, PreparedDataset
from harness.errors import MissingDataError, StoreError
from harness.store.hashing import digest
from harness.store.layout import DATASETS
from harness.store.records import Store, manifest_bytes
from harness.suite import DatasetComponent


def card_inputs(component: DatasetComponent) -> dict[str, Any]:
    """What the key of a card is made of: plugin and options, not the name in a suite."""
    return {"dataset": component.identity()}


def card_bytes(component: DatasetComponent, prepared: PreparedDataset) -> bytes:
    """The manifest of a card: sizes and fingerprints of a data set, and no file."""
    facts = {"counts": prepared.counts, "fingerprints": prepared.fingerprints}
    return manifest_bytes(card_inputs(component), {}, facts)


def find_card(store: Store, component: DatasetComponent) -> PreparedDataset | None:
    """A data set whose sizes and fingerprints are known and whose images are not there."""
    key = digest(card_inputs(component))
    if not store.has(DATASETS, key):
        return None
    try:
        facts = store.manifest(DATASETS, key).facts
    except StoreError:
        return None
    if not is_card(facts):
        return None
    counts, fingerprints = facts["counts"], facts["fingerprints"]
    domain = component.dataset.domain
    return PreparedDataset(component.name, domain, store.root, key, counts, fingerprints)


def find_prepared(
    data: DataFolder, store: Store, component: DatasetComponent
) -> PreparedDataset | None:
    """The data set as it is in the data folder, else as its card describes it.

    Raises:
        MissingDataError: It is not there and has no card.
    """
    try:
        return data.find(component) or find_card(store, component)
    except MissingDataError:
        found = find_card(store, component)
        if found is None:
            raise
        return found


def is_card(facts: Mapping[str, Any]) -> bool:
    """Whether facts hold the size and fingerprint of each split."""
    counts, fingerprints = facts.get("counts"), facts.get("fingerprints")
    if not isinstance(counts, dict) or not isinstance(fingerprints, dict):
        return False
    return (
        counts.keys() == fingerprints.keys()
        and all(type(count) is int and 0 < count < 2**40 for count in counts.values())
        and all(isinstance(text, str) for text in fingerprints.values())
    )
