"""Omniglot, handwritten characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from oodbench import Images
from plugins.datasets.published.base import Progress, Published
from plugins.datasets.published.image_archive import Pictures, read_resized

SIZE = (105, 105)
PARTS = {"train": "images_background", "test": "images_evaluation"}


@dataclass(kw_only=True, eq=False)
class Omniglot(Published):
    """Handwritten characters of 50 alphabets: 1x28x28, 19,280 in train and 13,180 in test.

    Dark strokes on white, as published: the opposite of MNIST, and any score can detect the
    difference. The pictures (105x105, black and white) are reduced by Pillow's antialiased
    bilinear filter. Train is `images_background` (30 alphabets), test `images_evaluation` (20
    other alphabets); each character appears 20 times, drawn by 20 people. Files:
    `omniglot-py/images_background.zip` and `images_evaluation.zip`, or the unpacked folders.

    Arguments:
        invert: Invert to light strokes on black, 255 - v after the reduction; off in the paper.
        verify: Accept only the published files: checksums and image counts must match. Without
            verification, a sample in the same format is accepted.

    References:
        | Human-level concept learning through probabilistic program induction (Lake,
          Salakhutdinov & Tenenbaum, 2015)
        | https://github.com/brendenlake/omniglot
    """

    name = "omniglot"
    domain = Images(1, 28, 28)
    counts: ClassVar = {"train": 19_280, "test": 13_180}
    home = "https://github.com/brendenlake/omniglot"
    licence = "MIT"
    files: ClassVar = {
        split: ((f"omniglot-py/{part}.zip", f"omniglot-py/{part}"),)
        for split, part in PARTS.items()
    }
    md5: ClassVar = {
        "omniglot-py/images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
        "omniglot-py/images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
    }

    invert: bool = False

    def _read(self, split: str, paths: Sequence[Path]) -> NDArray[np.uint8]:
        with Pictures(paths[0]) as pictures:
            names = pictures.names(".png")
            examples = read_resized(pictures, names, self.domain, size=SIZE)
        return np.invert(examples) if self.invert else examples

    def _download(self, root: Path, progress: Progress) -> None:
        import torchvision.datasets

        for split, part in PARTS.items():
            progress(f"omniglot: {part}.zip")
            torchvision.datasets.Omniglot(str(root), background=split == "train", download=True)
