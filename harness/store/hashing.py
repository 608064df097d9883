"""Canonical JSON and digests, used for record names and file checksums."""

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
    """Encode a value as canonical JSON: sorted keys, no whitespace, no NaN."""
    return CANONICAL.encode(value)


def digest(value: Any) -> str:
    """Return the first 32 hexadecimal digits of the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]


def ids_digest(ids: NDArray[np.int64]) -> str:
    """Return the digest of example numbers, in the given order."""
    return hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file; a large file is read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
