"""Base class for texts that are installed with Python or with packages."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from oodbench import DataError
from plugins.datasets.text.documents import Documents, divided


@dataclass(kw_only=True, eq=False)
class InstalledText(Documents):
    """Documents that are on every machine with `bench`, divided by a hash of seed and content.

    The documents are those of the installed versions, so numbers differ between versions; the
    fingerprint of the data set tells versions apart.

    Arguments:
        length: Length of a window in bytes.
        test_share: Fraction of the documents in the test split.
        seed: Seed for the random split.
    """

    length: Annotated[int, Field(ge=1)] = 64
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0

    def stamp(self) -> str:
        """Hash the name and the content of every document.

        Raises:
            MissingDataError: The documents are not installed.
            DataError: A document cannot be read.
        """
        sha = hashlib.sha256()
        for name, text in self._all().items():
            sha.update(f"{name}\0{hashlib.sha256(text).hexdigest()}\0".encode())
        return sha.hexdigest()

    @abstractmethod
    def _all(self) -> Mapping[str, bytes]:
        """Return all documents by name, in order.

        Raises:
            MissingDataError: The documents are not installed.
            DataError: A document cannot be read.
        """

    def documents(self, split: str) -> Iterable[bytes]:
        """Return the documents of a split, in order of name."""
        drawn = divided(
            list(self._all().values()),
            bytes,
            length=self.length,
            test_share=self.test_share,
            seed=self.seed,
        )
        if drawn is None:
            raise DataError(
                f"{self.name}: fewer than two different {self.document}s have at least "
                f"{self.length:,} bytes"
            )
        return drawn[split]
