"""Handwritten digits included in scikit-learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oodbench import Images
from plugins.datasets._common import SPLITS, Draws, check_split

N_TRAIN = 1197


class Digits:
    """scikit-learn's 1,797 handwritten digits: 1x8x8, 1,197 in train and 600 in test.

    A pixel is a count k from 0 to 16 ink dots, stored as k * 255 / 16 rounded half up. The images
    therefore share the 8-bit domain and the full range with photographs, but use only 17 out of
    256 values: any score may separate digits from 8-bit images by this property alone. And since
    8 * 255 / 16 = 127.5 is rounded to 128, an inverted digit (with a value 127) is not quite an
    image from this data set either.

    scikit-learn includes only the test file of the original data, so the split is not the
    original split but a fixed permutation. Both splits have digits by the same 13 writers. All
    1,797 images differ. The order within a split follows the file.

    References:
        | Optical Recognition of Handwritten Digits (Alpaydin & Kaynak, 1998)
        | https://archive.ics.uci.edu/dataset/80
    """

    domain = Images(1, 8, 8)
    splits = SPLITS

    def load(self, split: str) -> NDArray[np.uint8]:
        """Return the images of a split, uint8, (N, 1, 8, 8), 0 for paper and 255 for ink."""
        check_split("digits", split)
        from sklearn.datasets import load_digits

        counts = load_digits().images.astype(np.int64)
        order = Draws(0, "digits").order(len(counts))
        part = np.sort(order[:N_TRAIN] if split == "train" else order[N_TRAIN:])
        levels: NDArray[np.uint8] = ((counts[part] * 255 + 8) // 16).astype(np.uint8)
        return levels[:, np.newaxis]
