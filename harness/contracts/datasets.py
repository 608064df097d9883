"""The contract of data sets, and their optional capabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from harness.domain import Domain, Examples


@runtime_checkable
class Dataset(Protocol):
    """Raw examples in named splits. The constructor is cheap and touches no data.

    Example:
        >>> import numpy as np
        >>> from oodbench import Dataset, Images
        >>> class Black:
        ...     domain = Images(channels=1, height=8, width=8)
        ...     splits = ("train", "test")
        ...
        ...     def load(self, split):
        ...         return np.zeros((100, *self.domain.shape), np.uint8)
        >>> isinstance(Black(), Dataset)
        True
        >>> Black().load("test").shape
        (100, 1, 8, 8)
    """

    @property
    def domain(self) -> Domain:
        """Shape and number of levels of each example."""

    @property
    def splits(self) -> tuple[str, ...]:
        """Available splits, from `"train"` and `"test"`. Splits share no examples."""

    def load(self, split: str) -> Examples:
        """Load all examples in a split, always in the same order.

        Returns:
            `domain.dtype`, (N, *domain.shape), values below `domain.levels`; may be a memory map.

        Raises:
            MissingDataError: The data is not available on this machine.
            DataError: The data is available but invalid.
        """


@runtime_checkable
class HasStamp(Protocol):
    """Optional data set capability: a cheap stamp for the state of files that may change.

    Example:
        >>> from oodbench import HasStamp
        >>> class Folder:
        ...     def stamp(self):
        ...         return "a.png 9834876dcfb05cb1, b.png 4a44dc15364204a8"
        >>> isinstance(Folder(), HasStamp)
        True
    """

    def stamp(self) -> str:
        """Return text that changes whenever the content may have changed.

        For example the names of the files with a hash of the contents. For files too large to be
        read by every command: the names with `st_size`, `st_mtime_ns`, `st_ctime_ns` and
        `st_ino`, because files with other content can have the same size and modification time.
        After a change the files are read again; with equal content, no number is computed again.
        """


@runtime_checkable
class HasNotes(Protocol):
    """Optional data set capability: remarks about the files that were read.

    Reports print the remarks below every table with the data set, after its name.

    Example:
        >>> from oodbench import HasNotes
        >>> class Folder:
        ...     def notes(self):
        ...         return ["5 files were passed over: 5 .heic"]
        >>> isinstance(Folder(), HasNotes)
        True
    """

    def notes(self) -> Sequence[str]:
        """Return the remarks, one line each, after all splits have been loaded."""


@runtime_checkable
class CopiesExamples(Protocol):
    """Optional data set capability: example i is a changed copy of example i of another data set.

    The scores of an image and of its copy are correlated, so errors of a comparison between both
    data sets are computed by image.

    Example:
        >>> from oodbench import CopiesExamples
        >>> class Inverted:
        ...     copies_examples = True
        >>> isinstance(Inverted(), CopiesExamples)
        True
    """

    @property
    def copies_examples(self) -> bool:
        """True; usually a class attribute. The constructor then takes one other data set."""


@runtime_checkable
class Fetchable(Protocol):
    """Optional data set capability: published data with a home page, a licence and a download.

    Example:
        >>> from oodbench import Fetchable
        >>> class Faces:
        ...     home = "https://example.org/faces"
        ...     licence = "research only"
        ...
        ...     def fetch(self, progress):
        ...         progress(f"faces.zip: downloaded from {self.home}")
        >>> isinstance(Faces(), Fetchable)
        True
        >>> Faces().fetch(print)
        faces.zip: downloaded from https://example.org/faces
    """

    @property
    def home(self) -> str:
        """Address of the publisher's page."""

    @property
    def licence(self) -> str:
        """Terms of use, in a few words."""

    def fetch(self, progress: Callable[[str], None]) -> None:
        """Download and verify the raw files; files that already exist are kept.

        Arguments:
            progress: Called with a line of text at each step.

        Raises:
            MissingDataError: The files cannot be downloaded; says how to get them by hand.
        """
