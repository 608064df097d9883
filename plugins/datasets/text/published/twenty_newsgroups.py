"""20 Newsgroups, posts of Usenet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from plugins.datasets.text.published.base import PublishedText
from plugins.datasets.text.published.packed import read_documents

ARCHIVE = "20newsgroups/20news-bydate.tar.gz"


@dataclass(kw_only=True, eq=False)
class TwentyNewsgroups(PublishedText):
    """Windows of posts to 20 newsgroups: 11,314 posts in train and 7,532 in test, split by date.

    The posts are in Latin-1; windows are of the same text in UTF-8. Headers name the group or its
    subject and quotes repeat other posts, so by default they are removed together with signatures,
    by the rules of scikit-learn's `fetch_20newsgroups`.

    Files: `20newsgroups/20news-bydate.tar.gz`; or unpacked, the folders
    `20newsgroups/20news-bydate-train` and `20newsgroups/20news-bydate-test`. The sha256 of the
    archive is the one in scikit-learn.

    Arguments:
        length: Length of a window in bytes.
        groups: `all` groups, or those whose name begins with `alt`, `comp`, `misc`, `rec`, `sci`,
            `soc` or `talk`, so that one subject can be in-distribution and another OOD.
        remove: Parts of the posts that are removed.
        verify: Accept only the published files: the checksum and the number of posts must match.
            Without verification, a sample in the same format is accepted.

    References:
        | NewsWeeder: learning to filter netnews (Lang, 1995)
        | http://qwone.com/~jason/20Newsgroups/
    """

    name = "20newsgroups"
    document = "post"
    counts: ClassVar = {"train": 11_314, "test": 7_532}
    home = "http://qwone.com/~jason/20Newsgroups/"
    licence = "none stated; to be cited"
    files: ClassVar = {
        split: ((ARCHIVE, f"20newsgroups/20news-bydate-{split}"),) for split in ("train", "test")
    }
    sources: ClassVar = {ARCHIVE: "https://ndownloader.figshare.com/files/5975967"}
    sha256: ClassVar = {
        ARCHIVE: "8f1b2514ca22a5ade8fbb9cfa5727df95fa587f4c87b786e15c759fa66d95610"
    }

    length: Annotated[int, Field(ge=1)] = 64
    groups: Literal["all", "alt", "comp", "misc", "rec", "sci", "soc", "talk"] = "all"
    remove: tuple[Literal["headers", "footers", "quotes"], ...] = ("headers", "footers", "quotes")

    def documents(self, split: str) -> list[bytes]:
        """Return the posts of a split, in order of name."""
        [path] = self._verified(split)
        posts = read_documents(path, f"20news-bydate-{split}")
        self._check_count(split, len(posts))
        chosen = [
            post.decode("latin-1")
            for name, post in posts.items()
            if self.groups in ("all", name.partition(".")[0])
        ]
        return [self._without_parts(post).encode() for post in chosen]

    def _without_parts(self, post: str) -> str:
        """Remove the parts of a post, in the order of scikit-learn."""
        from sklearn.datasets import _twenty_newsgroups as rules

        removers = {
            "headers": rules.strip_newsgroup_header,
            "footers": rules.strip_newsgroup_footer,
            "quotes": rules.strip_newsgroup_quoting,
        }
        for part, remover in removers.items():
            if part in self.remove:
                post = remover(post)
        return post
