"""Patches from the two photographs included in scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oodbench import DataError, Images
from plugins.datasets._common import SPLITS, Draws, check_split, luma, shrink

CUT = 400
"""First column, out of 640, in the test part; also a border between 8-pixel JPEG blocks."""


@dataclass(kw_only=True, eq=False)
class Photos:
    """Square patches from scikit-learn's photographs (427 rows, 640 columns).

    Train patches come from the left 400 columns, test patches from the right 240; the parts are
    reduced separately, so the splits share no pixels. Test patches therefore show the same
    photograph at different positions, and the content differs: on the right, `china` has more sky
    (mean gray 163 against 133) and `flower` more dark ground (50 against 75), so for a model
    trained on the train split, the test split is slightly out of distribution.

    Positions within a split are distinct and drawn without replacement, in an order that does not
    depend on the number of patches. Patches may overlap unless `stride` is at least `size`, and
    overlapping patches are dependent: confidence intervals for independent patches are too
    narrow. The photographs are JPEG files.

    Arguments:
        photo: Name of the photograph; `both` draws from the positions in both photographs.
        size: Height and width of a patch, in pixels after the reduction.
        channels: 3 for colour, 1 for gray (luma of ITU-R BT.601, after the reduction).
        shrink: Reduction factor; each pixel is the mean over shrink x shrink pixels.
        stride: Distance between positions, in pixels after the reduction; with `stride` equal to
            `size`, patches share no pixels.
        n_train: Number of train patches.
        n_test: Number of test patches.
        seed: Seed for the positions.
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
        """Return the patches of a split, uint8, (N, channels, size, size).

        Raises:
            DataError: More patches are requested than positions exist.
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
        """Return all patches in a part, as a view: (rows, columns, channels, size, size)."""
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
