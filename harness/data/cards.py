"""Cards: what results need to know of a data set, kept in the store where its images are not.

An import brings them along, so that reports can be made on a machine without the data.
"""

from __future__ import annotations

from typing import Any

from harness.data.folder import DataFolder, PreparedDataset, find_described
from harness.errors import MissingDataError
from harness.store.hashing import digest
from harness.store.records import Store, manifest_bytes
from harness.suite import DatasetComponent


def card_inputs(component: DatasetComponent) -> dict[str, Any]:
    """What the key of a card is made of: plugin and options, not the name in a suite."""
    return {"dataset": component.identity()}


def card_bytes(component: DatasetComponent, prepared: PreparedDataset) -> bytes:
    """The manifest of a card: sizes and fingerprints of a data set, and no file."""
    facts = {"counts": prepared.counts, "fingerprints": prepared.fingerprints}
    return manifest_bytes(card_inputs(component), {}, facts)


def find_prepared(
    data: DataFolder, store: Store, component: DatasetComponent
) -> PreparedDataset | None:
    """The data set as it is in the data folder, else as its card describes it.

    Raises:
        MissingDataError: It is not there and has no card.
    """
    card = find_described(store, digest(card_inputs(component)), component)
    try:
        return data.find(component) or card
    except MissingDataError:
        if card is None:
            raise
        return card
