"""The two splits that every data set of this package has."""

from __future__ import annotations

from oodbench import DataError

SPLITS = ("train", "test")


def check_split(dataset: str, split: str) -> None:
    """Raise `DataError` unless the split is one of the two."""
    if split not in SPLITS:
        raise DataError(f"{dataset} has no split {split!r}; it has 'train' and 'test'")
