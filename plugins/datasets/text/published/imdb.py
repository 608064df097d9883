"""IMDB, reviews of films."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from plugins.datasets.text.published.base import PublishedText
from plugins.datasets.text.published.packed import read_documents

ARCHIVE = "imdb/aclImdb_v1.tar.gz"


@dataclass(kw_only=True, eq=False)
class Imdb(PublishedText):
    """Windows of film reviews: 25,000 reviews in train and 25,000 in test, of different films.

    Reviews are in UTF-8, with `<br />` for line breaks as published; the 50,000 reviews without a
    label are not used. Files: `imdb/aclImdb_v1.tar.gz`, or the unpacked folder `imdb/aclImdb`.
    The md5 of the archive is the one that torchtext published.

    Arguments:
        length: Length of a window in bytes.
        verify: Accept only the published files: the checksum and the number of reviews must
            match. Without verification, a sample in the same format is accepted.

    References:
        | Learning word vectors for sentiment analysis (Maas et al., 2011)
        | https://ai.stanford.edu/~amaas/data/sentiment/
    """

    name = "imdb"
    document = "review"
    counts: ClassVar = {"train": 25_000, "test": 25_000}
    home = "https://ai.stanford.edu/~amaas/data/sentiment/"
    licence = "none stated; to be cited"
    files: ClassVar = dict.fromkeys(("train", "test"), ((ARCHIVE, "imdb/aclImdb"),))
    sources: ClassVar = {
        ARCHIVE: "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
    }
    md5: ClassVar = {ARCHIVE: "7c2ac02c03563afcf9b574c7e56c153a"}

    length: Annotated[int, Field(ge=1)] = 64

    def documents(self, split: str) -> list[bytes]:
        """Return the reviews of a split, in order of name."""
        [path] = self._verified(split)
        reviews = read_documents(path, "aclImdb", rf"{split}/(neg|pos)/[^/]*\.txt")
        self._check_count(split, len(reviews))
        return list(reviews.values())
