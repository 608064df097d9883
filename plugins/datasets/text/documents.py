"""Documents of text, cut into windows of bytes and divided between train and test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oodbench import DataError, MissingDataError, Tokens
from plugins.datasets._common import SPLITS, check_split
from plugins.datasets.folder import lowest, ticket

Item = TypeVar("Item")


@dataclass(kw_only=True, eq=False)
class Documents(ABC):
    """Data set of documents, each cut into windows, one after the other.

    Every example has the same length, so that no score can tell data sets apart by length. The
    rest at the end of a document is dropped, and documents shorter than a window are passed over.
    Test windows that are in train documents too are dropped. Notes count all three. Nothing is
    decoded: a window may begin or end within a character.

    Attributes:
        name: Name of the plugin.
        document: Word for a document, such as `"file"`.
        unit: Word for the unit of the length of a document.

    Arguments:
        length: Length of a window in bytes.
    """

    name: ClassVar[str]
    document: ClassVar[str]
    unit: ClassVar[str] = "byte"

    length: Annotated[int, Field(ge=1)]

    def __post_init__(self) -> None:
        self.domain = Tokens(self.length)

    @property
    def splits(self) -> tuple[str, ...]:
        """Available splits."""
        return SPLITS

    @property
    def where(self) -> str:
        """Place of the documents, for messages."""
        return self.name

    def load(self, split: str) -> NDArray[np.unsignedinteger[Any]]:
        """Return the windows of a split, (N, length), document by document; bytes are uint8.

        Raises:
            MissingDataError: The documents are not on this machine, or lack the split.
            DataError: A document cannot be read, or the documents do not give two splits.
        """
        check_split(self.name, split)
        found = self._windows(split)
        if split == "train" or not self._drops_copies():
            return found
        known = {window.tobytes() for window in self._windows("train")}
        kept = [window.tobytes() not in known for window in found]
        if not any(kept):
            raise DataError(
                f"{self.where}: every window of the test {self.document}s is also in a train "
                f"{self.document}"
            )
        return found[kept]

    def notes(self) -> list[str]:
        """Return a note on the documents behind the windows, and on what is left out.

        Raises:
            MissingDataError: The documents are not on this machine.
            DataError: A document cannot be read.
        """
        sizes = [
            len(self._encoded(document))
            for split in self.splits
            for document in self.documents(split)
        ]
        used = [size for size in sizes if size >= self.length]
        total = sum(size // self.length for size in used)
        note = f"{total:,} windows of {_counted(len(used), self.document)}"
        if total > len(used):
            note += (
                f": windows of one {self.document} depend on one another, and errors leave this "
                "out"
            )
        dropped = ends(used, self.length, self.document, self.unit)
        if short := len(sizes) - len(used):
            size = _counted(self.length, self.unit)
            dropped.append(f"{_counted(short, self.document)} shorter than {size}")
        if self._drops_copies() and (known := len(self._windows("test")) - len(self.load("test"))):
            dropped.append(f"{known:,} test windows that are in train {self.document}s too")
        return [f"{note}; dropped: {', '.join(dropped)}" if dropped else note]

    @abstractmethod
    def documents(self, split: str) -> Iterable[bytes]:
        """Return the documents of a split, in order, short ones too."""

    def _drops_copies(self) -> bool:
        """Tell whether test windows that are in train documents too are dropped."""
        return True

    def _encoded(self, document: bytes) -> NDArray[np.unsignedinteger[Any]]:
        """Return a document as integers, its bytes, to be cut into windows."""
        return np.frombuffer(document, np.uint8)

    def _windows(self, split: str) -> NDArray[np.unsignedinteger[Any]]:
        """Read all windows in the documents of a split."""
        encoded = map(self._encoded, self.documents(split))
        found = [windows(document, self.length) for document in encoded]
        if not sum(map(len, found)):
            raise MissingDataError(
                f"{self.where}: no {self.document} of at least "
                f"{_counted(self.length, self.unit)} for the {split} split"
            )
        return np.concatenate(found)


def windows(
    document: NDArray[np.unsignedinteger[Any]], length: int
) -> NDArray[np.unsignedinteger[Any]]:
    """Cut a document into windows, (n, length); the rest at the end is dropped."""
    count = len(document) // length
    return document[: count * length].reshape(count, length)


def ends(
    sizes: Iterable[int], length: int, document: str = "file", unit: str = "byte"
) -> list[str]:
    """Return a note on what follows the last windows of documents of these sizes, if anything."""
    rest = sum(size % length for size in sizes)
    return [f"{_counted(rest, unit)} at the ends of {document}s"] if rest else []


def divided(
    items: Sequence[Item],
    content: Callable[[Item], bytes],
    *,
    length: int,
    test_share: float,
    seed: int,
) -> Mapping[str, Sequence[Item]] | None:
    """Divide documents between train and test by a hash of seed and content.

    Equal documents are in the same split. Documents without a window take no part in the draw;
    they are listed in train.

    Arguments:
        items: The documents, in order.
        content: Function that reads a document.
        length: Length of a window in bytes.
        test_share: Fraction of the documents in the test split.
        seed: Seed of the hash.

    Returns:
        Documents of each split, in order; None if fewer than two different documents have a
        window.
    """
    tickets = [ticket(seed, text) if len(text) >= length else None for text in map(content, items)]
    drawn = [one for one in tickets if one is not None]
    if len(set(drawn)) < 2:
        return None
    marks: Iterator[np.bool_] = iter(lowest(drawn, test_share))
    in_test = [one is not None and bool(next(marks)) for one in tickets]
    pairs = list(zip(items, in_test, strict=True))
    return {
        "train": [item for item, is_test in pairs if not is_test],
        "test": [item for item, is_test in pairs if is_test],
    }


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"
