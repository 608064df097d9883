"""The German Traffic Sign Recognition Benchmark."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images
from plugins.datasets._common import MOST_TEXT, check_file, data_errors
from plugins.datasets.published.base import Progress, Published
from plugins.datasets.published.image_archive import Pictures, plain_names, read_resized

SUFFIX = ".ppm"


class Gtsrb(Published):
    """German traffic signs: 3x32x32, 26,640 in train and 12,630 in test.

    The pictures (15 to 250 pixels wide, uncompressed, with a border around the sign) are resized
    as a whole by Pillow's antialiased bilinear filter. Train pictures come in tracks with 30
    pictures of the same sign, so they depend on each other.

    The train split is the same as in torchvision (`GTSRB-Training_fixed.zip`, also used by the
    paper's code); the benchmark's final training set has 39,209 pictures. Files: the folders
    `gtsrb/GTSRB/Training` and `gtsrb/GTSRB/Final_Test/Images`, and `gtsrb/GT-final_test.csv`.
    Checksums exist for the archives only, and are verified by `bench data fetch`.

    Arguments:
        verify: Accept only the published files: image counts must match. Without verification, a
            sample in the same format is accepted.

    References:
        | Man vs. computer: benchmarking machine learning algorithms for traffic sign recognition
          (Stallkamp et al., 2012)
        | https://benchmark.ini.rub.de/
    """

    name = "gtsrb"
    domain = Images(3, 32, 32)
    counts: ClassVar = {"train": 26_640, "test": 12_630}
    home = "https://benchmark.ini.rub.de/"
    licence = "see its home; to be cited"
    files: ClassVar = {
        "train": (("gtsrb/GTSRB/Training",),),
        "test": (("gtsrb/GTSRB/Final_Test/Images",), ("gtsrb/GT-final_test.csv",)),
    }

    def _read(self, split: str, paths: Sequence[Path]) -> NDArray[np.uint8]:
        with Pictures(paths[0]) as pictures:
            names = pictures.names(SUFFIX) if split == "train" else read_names(paths[1])
            return read_resized(pictures, names, self.domain)

    def _download(self, root: Path, progress: Progress) -> None:
        import torchvision.datasets

        for split in self.splits:
            progress(f"gtsrb: {split}")
            torchvision.datasets.GTSRB(str(root), split=split, download=True)

    def _by_hand(self, root: Path) -> str:
        return (
            "unpack GTSRB-Training_fixed.zip, GTSRB_Final_Test_Images.zip and "
            f"GTSRB_Final_Test_GT.zip, found through {self.home}, in {root / 'gtsrb'}"
        )


def read_names(file: Path) -> list[str]:
    """Read the names of the test pictures, in the order of the list (`Filename;Width;...`).

    Raises:
        DataError: The file cannot be read, lists no pictures, or repeats a picture.
    """
    check_file(file, MOST_TEXT)
    with (
        data_errors(f"{file}: cannot be read as a list"),
        file.open(encoding="utf-8-sig", newline="") as stream,
    ):
        rows = csv.DictReader(stream, delimiter=";", skipinitialspace=True, strict=True)
        if rows.fieldnames and "Filename" not in rows.fieldnames:
            raise DataError(f"{file}: column 'Filename' not found")
        names = [row["Filename"] for row in rows]
    if not names:
        raise DataError(f"{file}: no pictures listed")
    if len(set(names)) != len(names):
        raise DataError(f"{file}: a picture is listed twice")
    return plain_names(names, file)
