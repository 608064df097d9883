"""Data set cards: sizes and fingerprints, stored without the images.

Imported results include cards. Reports can therefore be made on a machine without the data.
"""

from __future__ import annotations

from typing import Any

from harness.data.folder import DataFolder, PreparedDataset, find_described
from harness.errors import MissingDataError
from harness.store.hashing import digest
from harness.store.records import Store, manifest_bytes
from harness.suite import DatasetComponent


def card_inputs(component: DatasetComponent) -> dict[str, Any]:
    """Return the inputs for the key of a card: plugin and options, but not the name in a suite."""
    return {"dataset": component.identity()}


def card_bytes(component: DatasetComponent, prepared: PreparedDataset) -> bytes:
    """Encode the manifest of a card: sizes and fingerprints for a data set, without any file."""
    facts = {
        "counts": prepared.counts,
        "fingerprints": prepared.fingerprints,
        "notes": list(prepared.notes),
    }
    return manifest_bytes(card_inputs(component), {}, facts)


def find_prepared(
    data: DataFolder, store: Store, component: DatasetComponent
) -> PreparedDataset | None:
    """Find a data set in the data folder, or else the card in the store.

    Raises:
        MissingDataError: The data set is not available and has no card.
    """
    card = find_described(store, digest(card_inputs(component)), component)
    try:
        return data.find(component) or card
    except MissingDataError:
        if card is None:
            raise
        return card
