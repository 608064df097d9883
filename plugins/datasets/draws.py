"""Random draws that are the same with every version of NumPy and on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Draws:
    """A stream of random integers for one purpose.

    Everything is made of the raw output of PCG64, which NumPy promises to keep; it promises no
    such thing of the methods of `Generator`, such as `permutation`.

    Arguments:
        seed: Not negative.
        purpose: Streams of one seed and different purposes are independent.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        sequence = np.random.SeedSequence(seed, spawn_key=tuple(purpose.encode()))
        self._bits = np.random.PCG64(sequence)

    def words(self, n: int) -> NDArray[np.uint64]:
        """uint64, (n,), uniform over all 64 bits."""
        return np.asarray(self._bits.random_raw(n), dtype=np.uint64)

    def octets(self, n: int) -> NDArray[np.uint8]:
        """uint8, (n,), uniform over 0..255; a call with n not a multiple of 8 drops the rest."""
        return self.words(-(-n // 8)).astype("<u8").view(np.uint8)[:n]

    def fractions(self, n: int) -> NDArray[np.float64]:
        """float64, (n,), uniform over the multiples of 2**-53 in [0, 1)."""
        return (self.words(n) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def order(self, n: int) -> NDArray[np.int64]:
        """int64, (n,), a uniform permutation of 0..n-1."""
        return np.argsort(self.words(n), kind="stable").astype(np.int64)

    def distinct(self, n: int, bits: int) -> NDArray[np.int64]:
        """int64, (n,), distinct and uniform over 0..2**bits-1; n is at most 2**bits."""
        found = np.empty(0, np.uint64)
        while len(found) < n:
            drawn = np.concatenate([found, self.words(2 * n) >> np.uint64(64 - bits)])
            found = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
        return found[:n].astype(np.int64)
