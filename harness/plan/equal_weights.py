"""Stored epochs with equal weights: copies of one file, or a training that stands still."""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import suppress

from harness.errors import StoreError
from harness.plan.jobs import ChainId


class EqualWeights:
    """Finds stored epochs with equal weights; every epoch is looked up in the store once.

    Arguments:
        weights_of: Returns the sha256 of the weights at an epoch; None if the epoch is not stored.
        epochs_of: Returns the epochs of a chain in the plan.
    """

    def __init__(
        self,
        weights_of: Callable[[ChainId, int], str | None],
        epochs_of: Callable[[ChainId], Set[int]],
    ) -> None:
        self._weights_of, self._epochs_of = weights_of, epochs_of
        self._known: dict[ChainId, dict[int, str]] = {}
        self._first: dict[tuple[ChainId, str], int] = {}

    def earliest(self, chain: ChainId, epoch: int) -> int | None:
        """Return the earliest stored epoch with the weights of a stored epoch; None for itself."""
        known = self._noted(chain, epoch)
        first = self._first[chain, known[epoch]] if epoch in known else epoch
        return None if first == epoch else first

    def epochs(self, chain: ChainId, epoch: int) -> list[int]:
        """List the stored epochs with the same weights as a stored epoch, itself too, in order."""
        known = self._noted(chain, epoch)
        return sorted(other for other, weights in known.items() if weights == known.get(epoch))

    def _noted(self, chain: ChainId, epoch: int) -> dict[int, str]:
        """Return the noted weights; if an epoch is new and stored, note all other epochs too."""
        known = self._known.setdefault(chain, {})
        if epoch not in known and self._note(chain, epoch, known):
            for other in sorted(self._epochs_of(chain) - known.keys()):
                self._note(chain, other, known)
        return known

    def _note(self, chain: ChainId, epoch: int, known: dict[int, str]) -> bool:
        """Note the weights of an epoch that was not noted before; False if it is not stored."""
        weights = None
        with suppress(StoreError):
            weights = self._weights_of(chain, epoch)
        if weights is None:
            return False
        known[epoch] = weights
        self._first[chain, weights] = min(epoch, self._first.get((chain, weights), epoch))
        return True
