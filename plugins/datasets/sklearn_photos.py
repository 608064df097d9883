"""Patches of the two photographs that come with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oodbench import DataError, Images
from plugins.datasets._common import SPLITS, Draws, check_split, luma, shrink

CUT = 400
"""First column of the test part, of 640; a border of the JPEG files' 8-pixel blocks too."""


@dataclass(kw_only=True, eq=False)
class Photos:
    """Square patches of scikit-learn's photographs (427 rows, 640 columns).

    Train patches lie in the left 400 columns, test patches in the right 240; each part is reduced
    by itself, so the splits share no pixel of the photograph. A test patch is therefore of the
    same photograph, but not of the same place, and the places differ: on the right `china` has
    more sky (mean gray 163 against 133) and `flower` more of its dark ground (50 against 75), so
    even its own test split is not quite what a model was trained on.

    Within a split all positions are distinct and drawn without replacement, in an order that a
    larger number only continues. Patches may overlap unless `stride` is at least `size`, and then
    depend on each other: intervals that count them as independent are too narrow. The
    photographs are JPEG files.

    Arguments:
        photo: Which photograph; `both` draws from the positions of the two together.
        size: Height and width of a patch, in pixels after the reduction.
        channels: 3 for colour, 1 for gray (luma of ITU-R BT.601, after the reduction).
        shrink: Each part is first reduced by this factor, a pixel being the mean of
            shrink x shrink pixels.
        stride: Positions are multiples of it, in pixels after the reduction; at `size` no two
            patches share a pixel.
        n_train: Number of train patches.
        n_test: Number of test patches.
        seed: Of the positions drawn.
    """

    splits = SPLITS

    photo: Literal["china", "flower", "both"] = "both"
    size: Annotated[int, Field(ge=1)] = 8
    channels: Literal[1, 3] = 1
    shrink: Annotated[int, Field(ge=1)] = 1
    stride: Annotated[int, Field(ge=1)] = 1
    n_train: Annotated[int, Field(ge=1)] = 2000
    n_test: Annotated[int, Field(ge=1)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        self.domain = Images(self.channels, self.size, self.size)
        self._counts = {"train": self.n_train, "test": self.n_test}

    def load(self, split: str) -> NDArray[np.uint8]:
        """uint8, (N, channels, size, size).

        Raises:
            DataError: The photograph has fewer positions than patches were asked for.
        """
        check_split("photos", split)
        names = ("china", "flower") if self.photo == "both" else (self.photo,)
        views = [self._patches(name, split) for name in names]
        n, total = self._counts[split], sum(len(view) * view.shape[1] for view in views)
        if n > total:
            raise DataError(
                f"photos: n_{split} = {n}, but photo = {self.photo!r} has {total} {split} "
                f"positions at size = {self.size}, shrink = {self.shrink}, "
                f"stride = {self.stride}"
            )
        positions = Draws(self.seed, f"photos/{split}").order(total)[:n]
        examples = np.empty((n, *self.domain.shape), np.uint8)
        first = 0
        for view in views:
            rows, columns = view.shape[:2]
            own = (positions >= first) & (positions < first + rows * columns)
            row, column = np.divmod(positions[own] - first, max(columns, 1))
            examples[own] = view[row, column]
            first += rows * columns
        return examples

    def _patches(self, name: str, split: str) -> NDArray[np.uint8]:
        """All patches of a part, as a view: (rows, columns, channels, size, size)."""
        from sklearn.datasets import load_sample_image

        photo = load_sample_image(f"{name}.jpg")
        part = shrink(photo[:, :CUT] if split == "train" else photo[:, CUT:], self.shrink)
        if self.channels == 1:
            part = luma(part)[..., np.newaxis]
        size = self.size
        if min(part.shape[:2]) < size:
            return np.empty((0, 0, *self.domain.shape), np.uint8)
        view = np.lib.stride_tricks.sliding_window_view(part, (size, size), axis=(0, 1))
        return view[:: self.stride, :: self.stride]
