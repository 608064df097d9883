"""Random images without structure."""

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
    """Images with independent and identically distributed pixels.

    Train and test come from independent streams. A larger data set with the same seed begins with
    the same examples.

    Arguments:
        distribution: `uniform` over 0..255; or `gaussian`, normal numbers rounded to the nearest
            integer and clipped to 0..255.
        mean: Mean of the gaussian, in pixel values.
        sd: Standard deviation of the gaussian, in pixel values.
        channels: Number of channels.
        height: Number of rows.
        width: Number of columns.
        n_train: Number of train images.
        n_test: Number of test images.
        seed: Seed for the random numbers.
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
        """Return the images of a split, uint8, (N, channels, height, width)."""
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
    """Return the normal cumulative distribution function, float64, (n,), at each x."""
    return np.array([math.erfc((mean - value) / (sd * math.sqrt(2))) / 2 for value in x])
