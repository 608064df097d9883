"""Images without structure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oodbench import Images
from plugins.datasets._common import SPLITS, Draws, check_split

CHUNK = 2**20


@dataclass(kw_only=True, eq=False)
class Noise:
    """Images whose pixels are independent and of one distribution.

    Train and test come from independent streams. In a larger data set of the same seed the first
    examples are the same.

    Arguments:
        distribution: `uniform` over 0..255; or `gaussian`, a normal number rounded to the next
            integer, values beyond 0 and 255 set to these.
        mean: Of the gaussian, in pixel values.
        sd: Standard deviation of the gaussian, in pixel values.
        channels: Number of channels.
        height: Number of rows.
        width: Number of columns.
        n_train: Number of train images.
        n_test: Number of test images.
        seed: Of the numbers drawn.
    """

    splits = SPLITS

    distribution: Literal["uniform", "gaussian"] = "uniform"
    mean: float = 127.5
    sd: Annotated[float, Field(gt=0)] = 40.0
    channels: Annotated[int, Field(ge=1)] = 1
    height: Annotated[int, Field(ge=1)] = 8
    width: Annotated[int, Field(ge=1)] = 8
    n_train: Annotated[int, Field(ge=1)] = 2000
    n_test: Annotated[int, Field(ge=1)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        self.domain = Images(self.channels, self.height, self.width)
        self._counts = {"train": self.n_train, "test": self.n_test}

    def load(self, split: str) -> NDArray[np.uint8]:
        """uint8, (N, channels, height, width)."""
        check_split("noise", split)
        draws = Draws(self.seed, f"noise/{split}")
        total = self._counts[split] * self.domain.dims
        if self.distribution == "uniform":
            values = draws.octets(total)
        else:
            values = np.empty(total, np.uint8)
            below = normal_cdf(np.arange(0.5, 255), self.mean, self.sd)
            for start in range(0, total, CHUNK):
                chunk = values[start : start + CHUNK]
                chunk[:] = np.searchsorted(below, draws.fractions(len(chunk)), side="right")
        return values.reshape(-1, *self.domain.shape)


def normal_cdf(x: NDArray[np.float64], mean: float, sd: float) -> NDArray[np.float64]:
    """Probability, float64, (n,), that a normal number is below each x."""
    return np.array([math.erfc((mean - value) / (sd * math.sqrt(2))) / 2 for value in x])
