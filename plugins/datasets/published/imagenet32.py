"""ImageNet, reduced to 32x32 by Chrabaszcz et al."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images
from plugins.datasets.published.base import Progress, Published
from plugins.datasets.published.batches import read_batch

FOLDER = "imagenet32"
JPEG_QUALITY = 75


def _item(stem: str, part: str) -> tuple[str, ...]:
    """Where a batch may lie: in the folder, or in that of its archive; `.npz` or a pickle."""
    folders = {".npz": f"Imagenet32_{part}_npz", "": f"Imagenet32_{part}"}
    return tuple(
        f"{FOLDER}/{folder}{stem}{suffix}"
        for suffix in folders
        for folder in ("", f"{folders[suffix]}/")
    )


@dataclass(kw_only=True, eq=False)
class Imagenet32(Published):
    """All of ImageNet 2012 at 3x32x32: 1,281,167 in train, the 50,000 of validation in test.

    Files: `imagenet32/train_data_batch_1.npz` to `10` and `val_data.npz`; or the same without
    `.npz`, which are pickles, read by a reader that admits arrays and plain containers only. A
    folder `Imagenet32_train_npz` or the like, as the archives unpack to, may lie between.

    `load` holds one batch in memory at a time (0.4 GB) and gathers them in a temporary file (3.9
    GB) beside the raw files, or in the folder for temporary files where that cannot be written;
    the result is a read-only memory map of it, and the file is gone when that is.

    It is reduced with a box filter, where the other data sets of the paper have other histories;
    the original pictures were JPEG files. There are no published checksums.

    Arguments:
        jpeg: Each image goes through JPEG (quality 75), as in the paper's published code: not
            what the paper describes.
        verify: Read nothing but the published files: the numbers of images must be theirs.
            Without, a sample of the data set in the same format will do.

    References:
        | A downsampled variant of ImageNet as an alternative to the CIFAR datasets (Chrabaszcz,
          Loshchilov & Hutter, 2017)
        | https://arxiv.org/abs/1707.08819
    """

    name = "imagenet32"
    domain = Images(3, 32, 32)
    counts: ClassVar = {"train": 1_281_167, "test": 50_000}
    home = "https://image-net.org/download-images.php"
    licence = "ImageNet's terms: non-commercial research and education, after registration"
    files: ClassVar = {
        "train": tuple(_item(f"train_data_batch_{number}", "train") for number in range(1, 11)),
        "test": (_item("val_data", "val"),),
    }

    jpeg: bool = False

    def _read(self, split: str, paths: Sequence[Path]) -> NDArray[np.uint8]:
        folder = paths[0].parent
        for file in paths:
            if (file.parent, file.suffix) != (folder, paths[0].suffix):
                # The two forms need not be shuffled alike, so a mixture may repeat images.
                raise DataError(f"{file}: it is not of the same form and folder as {paths[0]}")
        try:
            with _temporary_file(folder) as stream:
                count = sum(self._append(file, stream) for file in paths)
                stream.flush()
                return np.memmap(stream, np.uint8, "r", shape=(count, *self.domain.shape))
        except OSError as error:
            raise DataError(
                f"{folder}: its images cannot be gathered in a temporary file ({error.strerror})"
            ) from error

    def _append(self, file: Path, stream: IO[bytes]) -> int:
        """Write the images of a batch; how many there were."""
        batch = read_batch(file, self.domain)
        stream.write(np.ascontiguousarray(through_jpeg(batch) if self.jpeg else batch).data)
        return len(batch)

    def _download(self, root: Path, progress: Progress) -> None:
        self._located(self.splits)  # raises, and says what to do, where a file is missing
        progress("imagenet32: the files are there")

    def _how(self, root: Path) -> str:
        return (
            "it cannot be downloaded automatically: register at https://image-net.org, get "
            "Imagenet32_train_npz.zip and Imagenet32_val_npz.zip (or Imagenet32_train.zip and "
            f"Imagenet32_val.zip, the same as pickles) from {self.home} and unpack them in "
            f"{root / FOLDER}"
        )


def through_jpeg(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The images as they come out of JPEG files.

    Arguments:
        images: uint8, (N, 3, H, W).

    Returns:
        uint8, (N, 3, H, W); with another version of libjpeg a value may differ by a few levels.
    """
    import PIL.Image

    lossy = np.empty_like(images)
    for index, image in enumerate(images):
        buffer = io.BytesIO()
        picture = PIL.Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
        picture.save(buffer, format="JPEG", quality=JPEG_QUALITY)
        with PIL.Image.open(buffer) as decoded:
            lossy[index] = np.asarray(decoded).transpose(2, 0, 1)
    return lossy


def _temporary_file(folder: Path) -> IO[bytes]:
    """A file without a name, beside the raw files if that folder can be written."""
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError:
        return tempfile.TemporaryFile()
