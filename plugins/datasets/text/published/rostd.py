"""ROSTD: utterances to an assistant, inside and outside of the assistant's domain."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from oodbench import DataError
from plugins.datasets._common import MOST_TEXT, check_file, data_errors
from plugins.datasets.image_files import read_bytes
from plugins.datasets.text.published.base import PublishedText

OUT, INSIDE = "rostd/OODrelease.tsv", "rostd/multilingual_task_oriented_dialog_slotfilling.zip"
COUNTS = {"train": 30_521, "test": 8_621, "out": 4_590}
UTTERANCE = 2
"""Column of the utterance, in both forms."""


@dataclass(kw_only=True, eq=False)
class Rostd(PublishedText):
    """Windows of utterances to an assistant: alarms, reminders, weather; and those of other kinds.

    Inside the domain are the English utterances of the multilingual task-oriented data, 30,521 in
    train and 8,621 in test; outside are the 4,590 utterances of ROSTD, which people wrote to be
    out of domain; they are a test split only. A short `length` keeps most of the utterances.

    Files: `rostd/OODrelease.tsv`, whose sha256 is that of the file in the authors' repository; for
    the domain `rostd/multilingual_task_oriented_dialog_slotfilling.zip`, or `en/train-en.tsv` and
    `en/test-en.tsv` of it in `rostd`. No checksum of the archive is published.

    Arguments:
        length: Length of a window in bytes.
        scope: `in` for the utterances inside the domain, `out` for those of ROSTD.
        verify: Accept only the published files: known checksums and the number of utterances must
            match. Without verification, a sample in the same format is accepted.

    References:
        | Likelihood ratios and generative classifiers for unsupervised out-of-domain detection in
          task oriented dialog (Gangal et al., 2020)
        | Cross-lingual transfer learning for multilingual task oriented dialog (Schuster et al.,
          2019)
        | https://github.com/vgtomahawk/LR_GC_OOD
    """

    name = "rostd"
    document = "utterance"
    home = "https://github.com/vgtomahawk/LR_GC_OOD"
    licence = "none stated for ROSTD, CC BY-SA for the domain; to be cited"
    sources: ClassVar = {
        OUT: "https://raw.githubusercontent.com/vgtomahawk/LR_GC_OOD/master/data/fbrelease/"
        "OODrelease.tsv",
        INSIDE: "https://fb.me/multilingual_task_oriented_data",
    }
    sha256: ClassVar = {OUT: "3451fdb53b4252c747b045754bc2ef60fdd40d348855abf24d068d073c3ef339"}

    length: Annotated[int, Field(ge=1)] = 24
    scope: Literal["in", "out"] = "in"

    @property
    def splits(self) -> tuple[str, ...]:
        """Train and test inside the domain; test alone outside."""
        return ("train", "test") if self.scope == "in" else ("test",)

    def _items(self, split: str) -> Sequence[Sequence[str]]:
        return ((INSIDE, f"rostd/en/{split}-en.tsv"),) if self.scope == "in" else ((OUT,),)

    def documents(self, split: str) -> list[bytes]:
        """Return the utterances of a split, in order of the file."""
        [path] = self._verified(split)
        found = utterances(self._table(split, path), path)
        self._check_count(split, len(found))
        return found

    def _table(self, split: str, path: Path) -> bytes:
        """Read the table of a split, from the archive or as a file."""
        if path.suffix != ".zip":
            check_file(path, MOST_TEXT)
            return read_bytes(path)
        name = f"en/{split}-en.tsv"
        with (
            data_errors(f"{path}: cannot be read as a zip archive"),
            zipfile.ZipFile(path) as file,
        ):
            inside = [x for x in file.infolist() if f"/{x.filename}".endswith(f"/{name}")]
            if len(inside) != 1:
                raise DataError(f"{path}: one table {name} was expected, {len(inside)} were found")
            if inside[0].file_size > MOST_TEXT:
                raise DataError(f"{path}: {name} has more than {MOST_TEXT:,} bytes")
            return file.read(inside[0])

    def _drops_copies(self) -> bool:
        return self.scope == "in"

    def _count(self, split: str) -> int:
        return COUNTS[split if self.scope == "in" else "out"]


def utterances(content: bytes, path: Path) -> list[bytes]:
    """Return the utterances of a table with tabs, a line each.

    Raises:
        DataError: A line has too few columns, or the table is not in UTF-8.
    """
    with data_errors(f"{path}: not in UTF-8"):
        lines = content.decode("utf-8-sig").split("\n")
    found = []
    for number, line in enumerate(lines, 1):
        columns = line.rstrip("\r").split("\t")
        if columns == [""]:
            continue
        if len(columns) <= UTTERANCE:
            raise DataError(f"{path}:{number}: {len(columns)} columns, not at least 3")
        found.append(columns[UTTERANCE].encode())
    return found
