"""Canonical JSON and digests: the names of records and the checksums of files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no blanks, no NaN."""
    return CANONICAL.encode(value)


def digest(value: Any) -> str:
    """The first 32 hexadecimal digits of the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]


def ids_digest(ids: NDArray[np.int64]) -> str:
    """Digest of example numbers in their order."""
    return hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """sha256 of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
