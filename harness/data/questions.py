"""Notes on data that a reader should question: equal examples, splits without contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.data.contents import distinct
from harness.data.folder import PreparedDataset
from harness.text import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.data.contents import Contents

FAINT = 16
"""A split is faint if all values are below this fraction of the levels: 16 of 256 by default."""


def notes_on_dataset(prepared: PreparedDataset) -> list[str]:
    """Write the notes on a data set alone, from contents that are stored already.

    Arguments:
        prepared: Data set; no example is read.
    """
    splits = {split: prepared.stored_contents(split) for split in prepared.counts}
    known = {split: contents for split, contents in splits.items() if contents is not None}
    notes = [f"{prepared.name}: {note}" for note in prepared.notes]
    for split, contents in known.items():
        notes += notes_on_values(prepared, split, contents)
        what = f"the {counted(len(contents.digests), 'example')} of the {split} split"
        what = f"{what} of {prepared.name}"
        notes += notes_on_copies(what, contents.digests, prepared.domain.example)
    if {"train", "test"} <= known.keys():
        notes += notes_on_training(prepared, known["test"], prepared, known["train"])
    return notes


def notes_on_values(prepared: PreparedDataset, split: str, contents: Contents) -> list[str]:
    """Write a note on a split with equal values, or with values that are all faint.

    Arguments:
        prepared: Data set with the split.
        split: Name of the split.
        contents: Contents of the split.
    """
    levels, largest = prepared.domain.levels, contents.largest
    if contents.is_constant:
        return [f"all values in the {split} split of {prepared.name} are {largest}"]
    if largest * FAINT >= levels:
        return []
    where = f"the {split} split of {prepared.name}"
    return [f"the largest value in {where} is {largest}, of {levels - 1} possible"]


def notes_on_training(
    scored: PreparedDataset, test: Contents, trained: PreparedDataset, train: Contents
) -> list[str]:
    """Write a note on test examples repeated in a train split.

    Arguments:
        scored: Data set with the test examples.
        test: Contents of the test split.
        trained: Data set with the train split; may be the same data set.
        train: Contents of the train split.
    """
    count = count_shared(test.digests, train.distinct)
    if not count:
        return []
    where = "its train split" if trained == scored else f"the train split of {trained.name}"
    of = f"{count:,} of {counted(len(test.digests), 'test example')}"
    return [f"{of} of {scored.name} are also in {where}"]


def notes_on_copies(what: str, digests: NDArray[np.uint64], noun: str) -> list[str]:
    """Write a note on repeated examples.

    Arguments:
        what: Name of the examples, with their number.
        digests: uint64, (n,).
        noun: Word for an example.
    """
    found = len(distinct(digests))
    if found == len(digests):
        return []
    return [f"{what} contain only {counted(found, f'distinct {noun}')}"]


def count_shared(digests: NDArray[np.uint64], others: NDArray[np.uint64]) -> int:
    """Count examples with a digest among other digests.

    Arguments:
        digests: uint64, (n,); a repeated example counts each time.
        others: uint64, (m,) with m > 0, ascending.
    """
    import numpy as np

    places = np.searchsorted(others, digests).clip(max=len(others) - 1)
    return int((others[places] == digests).sum())
