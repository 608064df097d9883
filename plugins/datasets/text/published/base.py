"""Base class for published data sets of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from oodbench import DataError
from plugins.datasets.published.base import Progress, PublishedFiles
from plugins.datasets.text.documents import Documents


@dataclass(kw_only=True, eq=False)
class PublishedText(Documents, PublishedFiles):
    """Documents read from published files, cut into windows; the published splits are kept.

    Attributes:
        counts: Number of documents in each published split.
        sources: Address of each file to download, relative to `raw_root()`.

    Arguments:
        length: Length of a window in bytes.
        verify: Accept only the published files: checksums and document counts must match. Without
            verification, a sample in the same format is accepted.
    """

    counts: ClassVar[Mapping[str, int]]
    sources: ClassVar[Mapping[str, str]]

    def _check_count(self, split: str, count: int) -> None:
        """Refuse another number of documents than published, with `verify`.

        Raises:
            DataError: The numbers differ.
        """
        if self.verify and count != self._count(split):
            raise DataError(
                f"{self.name}: the {split} split has {count} documents, the published split "
                f"{self._count(split)}; to accept a sample, set verify = false"
            )

    def _count(self, split: str) -> int:
        return self.counts[split]

    def _download(self, root: Path, progress: Progress) -> None:
        from torch.hub import download_url_to_file

        for name in dict.fromkeys(item[0] for split in self.splits for item in self._items(split)):
            if not (file := root / name).exists():
                progress(f"{self.name}: {self.sources[name]}")
                file.parent.mkdir(parents=True, exist_ok=True)
                download_url_to_file(self.sources[name], str(file), progress=False)
            self._check_sums(file)

    def _by_hand(self, root: Path) -> str:
        names = dict.fromkeys(item[0] for split in self.splits for item in self._items(split))
        return "; ".join(f"store {self.sources[name]} as {root / name}" for name in names)

    def _how(self, root: Path) -> str:
        return f"`bench data fetch {self.name}` downloads it; by hand: {self._by_hand(root)}"
