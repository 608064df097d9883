"""Lossless transformations of another data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Dataset, HasNotes, HasStamp, Images

MOVES: Mapping[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "flip-horizontal": lambda x: x[:, :, :, ::-1],
    "flip-vertical": lambda x: x[:, :, ::-1],
    "rotate-90": lambda x: np.rot90(x, 1, axes=(2, 3)),
    "rotate-180": lambda x: x[:, :, ::-1, ::-1],
    "shuffle-channels": lambda x: np.roll(x, -1, axis=1),
}
"""Transformations of examples, (N, C, H, W), that move values without changing them."""


class Transformed:
    """Another data set with a reversible transformation applied to every example.

    `invert` replaces a value v by levels - 1 - v. The rotations turn counter-clockwise, so
    `rotate-90` moves the right edge to the top and swaps height and width. `shuffle-channels`
    moves every channel one place forward and the first channel to the end: red, green, blue
    become green, blue, red.

    Arguments:
        source: Name of the data set to transform.
        transform: Transformation of each example.

    Raises:
        DataError: A channel shuffle is requested for images with a single channel.
    """

    copies_examples = True

    def __init__(
        self,
        *,
        source: Dataset,
        transform: Literal[
            "invert",
            "flip-horizontal",
            "flip-vertical",
            "rotate-90",
            "rotate-180",
            "shuffle-channels",
        ],
    ) -> None:
        if transform == "shuffle-channels" and source.domain.channels == 1:
            raise DataError("transformed: 'shuffle-channels' needs at least 2 channels")
        self._source = source
        self._transform = transform
        if isinstance(source, HasStamp):
            # An attribute instead of a method: without a stamped source this is not `HasStamp`.
            self.stamp = source.stamp
        if isinstance(source, HasNotes):
            self.notes = source.notes

    @property
    def domain(self) -> Images:
        """Domain of the source, with height and width swapped by a quarter turn."""
        domain = self._source.domain
        if self._transform == "rotate-90":
            return replace(domain, height=domain.width, width=domain.height)
        return domain

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits of the source."""
        return self._source.splits

    def load(self, split: str) -> NDArray[np.uint8]:
        """Return the transformed images, uint8, (N, *domain.shape), in the order of the source."""
        examples = np.asarray(self._source.load(split))
        if self._transform == "invert":
            return np.ascontiguousarray(np.uint8(self.domain.levels - 1) - examples)
        return np.ascontiguousarray(MOVES[self._transform](examples))
