"""Images with a constant value, the simplest possible images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oodbench import DataError, Images
from plugins.datasets._common import SPLITS, Draws, check_split


@dataclass(kw_only=True, eq=False)
class Constant:
    """Images with equal pixels; colour images have a separate value per channel.

    Values are uniform and drawn without replacement, so all images differ. The channel values of
    train images have an even sum, and of test images an odd sum: 128 grays per split, or 8,388,608
    colours per split.

    Arguments:
        channels: 1 for gray, 3 for colour.
        height: Number of rows.
        width: Number of columns.
        n_train: Number of train images.
        n_test: Number of test images.
        seed: Seed for the values.

    Raises:
        DataError: A split cannot provide the requested number of different images.
    """

    splits = SPLITS

    channels: Literal[1, 3] = 1
    height: Annotated[int, Field(ge=1)] = 8
    width: Annotated[int, Field(ge=1)] = 8
    n_train: Annotated[int, Field(ge=1)] = 128
    n_test: Annotated[int, Field(ge=1)] = 128
    seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        self.domain = Images(self.channels, self.height, self.width)
        self._counts = {"train": self.n_train, "test": self.n_test}
        there = 2 ** (8 * self.channels - 1)
        for split, n in self._counts.items():
            if n > there:
                raise DataError(
                    f"constant: n_{split} = {n}, but a split has {there} different images with "
                    f"{self.channels} channel{'s' if self.channels > 1 else ''}"
                )

    def load(self, split: str) -> NDArray[np.uint8]:
        """Return the images of a split, uint8, (N, channels, height, width)."""
        check_split("constant", split)
        channels = self.channels
        draws = Draws(self.seed, f"constant/{split}")
        numbers = draws.distinct(self._counts[split], 8 * channels - 1)
        values = np.empty((len(numbers), channels), np.int64)
        for channel in range(channels - 1):
            values[:, channel] = numbers >> (7 + 8 * channel) & 255
        # The last channel has 7 free bits; the lowest bit sets the parity of the sum.
        parity = values[:, :-1].sum(axis=1) + (split == "test")
        values[:, -1] = (numbers & 127) << 1 | parity & 1
        images = values.astype(np.uint8)[:, :, np.newaxis, np.newaxis]
        return np.broadcast_to(images, (len(images), *self.domain.shape)).copy()
