"""CelebA, photographs of faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images
from plugins.datasets._common import MOST_TEXT, Draws, check_file, data_errors
from plugins.datasets.published.base import Progress, Published
from plugins.datasets.published.image_archive import Pictures, plain_names, read_resized

SIZE = (178, 218)
CROPS = {
    "centre-148": (15, 35, 163, 183),
    "centre-140": (19, 39, 159, 179),
    "code": (15, 40, 163, 188),
}
"""Left, upper, right and lower border; right and lower borders are excluded."""
PARTITION = {"0": "train", "1": "valid", "2": "test"}
ARCHIVE, LIST = "img_align_celeba.zip", "list_eval_partition.txt"
TOTAL = 202_599
RANDOM_TRAIN = 0.8


@dataclass(kw_only=True, eq=False)
class CelebA(Published):
    """Faces: 3x32x32, 162,770 in train and 19,962 in test; the 19,867 in valid are not used.

    The aligned pictures with 178x218 pixels (JPEG files) are cropped to a square and reduced by
    Pillow's antialiased bilinear filter. Files: `celeba/img_align_celeba.zip`, or the unpacked
    folder `celeba/img_align_celeba`; and `celeba/list_eval_partition.txt`.

    Arguments:
        crop: Square to keep: `centre-148` and `centre-140` are central and 148 or 140 pixels
            wide; `code` is 148 pixels wide and 5 pixels lower, as in the paper's published code
            (and in Larsen et al., 2016).
        partition: `official`; or `random`: 80 % of all 202,599 pictures are drawn for train with
            a fixed seed, as in the paper's published code (the original draw was not recorded).
            With `random`, pictures of the same person appear in both splits.
        verify: Accept only the published files: checksums and image counts must match. Without
            verification, a sample in the same format is accepted.

    References:
        | Deep learning face attributes in the wild (Liu et al., 2015)
        | https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html
    """

    name = "celeba"
    domain = Images(3, 32, 32)
    counts: ClassVar = {"train": 162_770, "test": 19_962}
    home = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    licence = "non-commercial research only"
    files: ClassVar = dict.fromkeys(
        Published.splits,
        ((f"celeba/{ARCHIVE}", "celeba/img_align_celeba"), (f"celeba/{LIST}",)),
    )
    md5: ClassVar = {
        f"celeba/{ARCHIVE}": "00d2c5bc6d35e252742224ab0c1e8fcb",
        f"celeba/{LIST}": "d32c9cbf5e040fd4025c592c306e6668",
    }

    crop: Literal["centre-148", "centre-140", "code"] = "centre-148"
    partition: Literal["official", "random"] = "official"

    def _read(self, split: str, paths: Sequence[Path]) -> NDArray[np.uint8]:
        folder, partition = paths
        names = self._names(partition, split)
        with Pictures(folder) as pictures:
            return read_resized(pictures, names, self.domain, size=SIZE, crop=CROPS[self.crop])

    def _count(self, split: str) -> int:
        if self.partition == "official":
            return super()._count(split)
        n_train = int(TOTAL * RANDOM_TRAIN)
        return n_train if split == "train" else TOTAL - n_train

    def _names(self, file: Path, split: str) -> list[str]:
        """Return the picture names for a split, in the order of the list."""
        given = read_partition(file)
        names = [name for name, part in given.items() if part == split]
        if self.partition == "random":
            order = Draws(0, "celeba/random").order(len(given))
            n_train = int(len(given) * RANDOM_TRAIN)
            chosen = order[:n_train] if split == "train" else order[n_train:]
            everyone = list(given)
            names = [everyone[index] for index in sorted(chosen)]
        if not names:
            raise DataError(f"{file}: no {split} pictures listed")
        return names

    def _download(self, root: Path, progress: Progress) -> None:
        if self._is_there():
            progress("celeba: the files already exist")
            return
        from torchvision.datasets import CelebA as Source
        from torchvision.datasets.utils import download_file_from_google_drive

        # CelebA(download=True) would need four more files and unpack 202,599 pictures.
        for drive_id, md5, file in Source.file_list:
            if file in (ARCHIVE, LIST):
                progress(f"celeba: {file}")
                download_file_from_google_drive(drive_id, str(root / "celeba"), file, md5)

    def _how(self, root: Path) -> str:
        return (
            f"`bench data fetch celeba` tries Google Drive (it needs gdown and often refuses); "
            f"by hand: {self._by_hand(root)}"
        )

    def _by_hand(self, root: Path) -> str:
        return (
            f"get {ARCHIVE} (aligned and cropped images) and {LIST} from the Google Drive or "
            f"Baidu folder of {self.home} and put both in {root / 'celeba'}"
        )


def read_partition(file: Path) -> dict[str, str]:
    """Read the official partition: a line per picture with the name and 0, 1 or 2.

    Returns:
        `train`, `valid` or `test` by picture name.

    Raises:
        DataError: A line has another form, or repeats a picture.
    """
    check_file(file, MOST_TEXT)
    with data_errors(f"{file}: cannot be read as text"):
        lines = file.read_text(encoding="ascii").splitlines()
    partition = {}
    for number, line in enumerate(lines, 1):
        match line.split():
            case [name, code] if code in PARTITION and name not in partition:
                partition[name] = PARTITION[code]
            case []:
                pass
            case _:
                raise DataError(
                    f"{file}:{number}: expected a new picture name and 0, 1 or 2, not "
                    f"{line[:200]!r}"
                )
    plain_names(partition, file)
    return partition
