"""Contents of a split: a digest of each example, for finding equal examples."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.domain import Examples
from harness.errors import StoreError
from harness.store.hashing import digest
from harness.store.layout import CONTENTS, DIGESTS
from harness.store.records import Store, array_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT = 1
PIECE = 2**16
"""Number of 32-bit words to hash at a time; they fit in a processor's cache."""


@dataclass(frozen=True, eq=False)
class Contents:
    """Digests of all examples in a split, and the largest value.

    Attributes:
        digests: uint64, (N,), in the order of the examples; equal for equal examples.
        largest: Largest value of all examples.
        is_constant: All values of all examples are equal.
    """

    digests: NDArray[np.uint64]
    largest: int
    is_constant: bool

    @cached_property
    def distinct(self) -> NDArray[np.uint64]:
        """Sorted digests without repetition: uint64, (m,)."""
        return distinct(self.digests)

    @classmethod
    def of(cls, examples: Examples) -> Contents:
        """Digest all examples of a split, (N, *shape), with at least one example."""
        digests, largest = digest_examples(examples)
        is_constant = bool((digests == digests[0]).all() and (examples[0] == largest).all())
        return cls(digests, largest, is_constant)


def distinct(digests: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sort digests, uint64, (n,) with n > 0, and leave out repeated ones."""
    import numpy as np

    ordered = np.sort(digests)
    return ordered[np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))]


def digest_examples(examples: Examples) -> tuple[NDArray[np.uint64], int]:
    """Hash each example by its values, and find the largest value.

    The hash is multilinear: with an example's bytes as 32-bit words w_i, and fixed random odd
    64-bit numbers r_i, it is the sum of r_i w_i modulo 2^64. Two examples that differ in one word
    never have the same hash. Two examples that differ in several words have the same hash with a
    probability of about 2^-(64 - k), where 2^k, at most 2^31, is the largest power of two that
    divides each difference between words (Lemire and Kaser 2014, Strongly universal string hashing
    is fast).

    Arguments:
        examples: Unsigned integers, (N, *shape), in any memory layout.

    Returns:
        uint64, (N,), and the largest value. Neither depends on the memory layout, the machine or
        the size of the pieces.
    """
    import numpy as np

    count, dims = len(examples), int(np.prod(examples.shape[1:])) * examples.itemsize
    width = -(-dims // 4)
    step = max(1, PIECE // width)
    factors = np.random.PCG64(FORMAT).random_raw(width) | np.uint64(1)
    padding, words = np.zeros(4 * width - dims, np.uint8), np.empty((step, width), np.uint64)
    digests, largest, most = np.empty(count, np.uint64), 0, np.iinfo(examples.dtype).max
    for start in range(0, count, step):
        values = np.ascontiguousarray(examples[start : start + step])
        if largest < most:
            largest = max(largest, int(values.max()))
        piece = values.view(np.uint8).reshape(-1, dims)
        if len(padding):
            piece = np.hstack([piece, np.tile(padding, (len(piece), 1))])
        words[: len(piece)] = piece.view("<u4")
        np.einsum("ij,j->i", words[: len(piece)], factors, out=digests[start : start + len(piece)])
    return digests, largest


def find_contents(store: Store, fingerprint: str, count: int) -> Contents | None:
    """Read the contents of a split; None if the contents are not stored or damaged.

    Arguments:
        store: Data folder, or a store with imported contents.
        fingerprint: Fingerprint of the split.
        count: Number of examples in the split.
    """
    import numpy as np

    key = digest(_inputs(fingerprint))
    with suppress(StoreError):
        facts = store.manifest(CONTENTS, key).facts
        largest, is_constant = facts.get("largest"), facts.get("is_constant")
        digests = store.read_array(CONTENTS, key, DIGESTS)
        is_whole = digests.dtype == np.uint64 and digests.shape == (count,)
        if is_whole and type(largest) is int and type(is_constant) is bool:
            return Contents(digests.view(np.uint64), largest, is_constant)
    return None


def keep_contents(store: Store, fingerprint: str, contents: Contents) -> None:
    """Store the contents of a split; a read-only folder stays unchanged."""
    inputs = _inputs(fingerprint)
    key = digest(inputs)
    facts = {"largest": contents.largest, "is_constant": contents.is_constant}
    with suppress(OSError):
        if store.path(CONTENTS, key).exists():
            store.quarantine(CONTENTS, key)
        content = array_bytes(contents.digests.astype("<u8"))
        store.write(CONTENTS, key, {DIGESTS: content}, inputs=inputs, facts=facts)


def contents_key(fingerprint: str) -> str:
    """Return the key for the contents of a split."""
    return digest(_inputs(fingerprint))


def _inputs(fingerprint: str) -> dict[str, object]:
    return {"contents": FORMAT, "split": fingerprint}
