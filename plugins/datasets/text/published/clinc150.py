"""CLINC150, queries to an assistant."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from oodbench import DataError
from plugins.datasets._common import MOST_TEXT, check_file, data_errors
from plugins.datasets.text.published.base import PublishedText

FILE = "clinc150/data_full.json"
COUNTS = {"train": 15_000, "test": 4_500, "oos_train": 100, "oos_test": 1_000}


@dataclass(kw_only=True, eq=False)
class Clinc150(PublishedText):
    """Windows of queries to an assistant, in 150 intents, and of queries outside its scope.

    In scope are 15,000 queries in train and 4,500 in test; out of scope, the OOD set that the
    authors published, 100 and 1,000. The validation splits are not used. Half of the queries have
    37 bytes or more, so a short `length` keeps most of them. File: `clinc150/data_full.json`.
    The sha256 is that of the file in the authors' repository.

    Arguments:
        length: Length of a window in bytes.
        scope: `in` for the queries of the 150 intents, `out` for the other ones.
        verify: Accept only the published file: the checksum and the number of queries must match.
            Without verification, a sample in the same format is accepted.

    References:
        | An evaluation dataset for intent classification and out-of-scope prediction (Larson et
          al., 2019)
        | https://github.com/clinc/oos-eval
    """

    name = "clinc150"
    document = "query"
    home = "https://github.com/clinc/oos-eval"
    licence = "CC BY 3.0"
    files: ClassVar = dict.fromkeys(("train", "test"), ((FILE,),))
    sources: ClassVar = {
        FILE: "https://raw.githubusercontent.com/clinc/oos-eval/master/data/data_full.json"
    }
    sha256: ClassVar = {FILE: "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0"}

    length: Annotated[int, Field(ge=1)] = 24
    scope: Literal["in", "out"] = "in"

    def documents(self, split: str) -> list[bytes]:
        """Return the queries of a split, in order of the file."""
        [path] = self._verified(split)
        check_file(path, MOST_TEXT)
        part = self._part(split)
        with data_errors(f"{path}: cannot be read as JSON"):
            content = json.loads(path.read_bytes())
        queries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(queries, list):
            raise DataError(f"{path}: no list {part!r}")
        found = []
        for number, item in enumerate(queries):
            match item:
                case [str(query), str()]:
                    found.append(query.encode())
                case _:
                    raise DataError(
                        f"{path}: item {number} of {part!r} is no query with an intent"
                    )
        self._check_count(split, len(found))
        return found

    def _part(self, split: str) -> str:
        """Return the name of a split in the file."""
        return split if self.scope == "in" else f"oos_{split}"

    def _count(self, split: str) -> int:
        return COUNTS[self._part(split)]
