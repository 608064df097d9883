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
    """List possible paths for a batch: directly or in the archive's folder; `.npz` or pickle."""
    folders = {".npz": f"Imagenet32_{part}_npz", "": f"Imagenet32_{part}"}
    return tuple(
        f"{FOLDER}/{folder}{stem}{suffix}"
        for suffix in folders
        for folder in ("", f"{folders[suffix]}/")
    )


@dataclass(kw_only=True, eq=False)
class Imagenet32(Published):
    """ImageNet 2012 at 3x32x32: 1,281,167 in train; test is the validation set with 50,000.

    Files: `imagenet32/train_data_batch_1.npz` to `10` and `val_data.npz`; or the same names
    without `.npz` for pickles, which are read by a reader restricted to arrays and plain
    containers. The batches may be in a subfolder such as `Imagenet32_train_npz`, as unpacked from
    the archives.

    `load` keeps a single batch in memory at a time (0.4 GB) and collects all batches in a
    temporary file (3.9 GB) next to the raw files, or in the system's temporary folder if the raw
    folder is not writable. The result is a read-only memory map, and the file is deleted together
    with the map.

    The images were reduced with a box filter, unlike the other data sets in the paper; the
    original pictures were JPEG files. Checksums are not published.

    Arguments:
        jpeg: Encode and decode each image as JPEG (quality 75), as in the paper's published code;
            the paper does not describe this step.
        verify: Accept only the published files: image counts must match. Without verification, a
            sample in the same format is accepted.

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
                # The two formats may be shuffled differently, so a mixture may repeat images.
                raise DataError(f"{file}: format or folder differs from {paths[0]}")
        try:
            with _temporary_file(folder) as stream:
                count = sum(self._append(file, stream) for file in paths)
                stream.flush()
                return np.memmap(stream, np.uint8, "r", shape=(count, *self.domain.shape))
        except OSError as error:
            raise DataError(
                f"{folder}: cannot collect the images in a temporary file ({error.strerror})"
            ) from error

    def _append(self, file: Path, stream: IO[bytes]) -> int:
        """Write all images in a batch, and return the image count."""
        batch = read_batch(file, self.domain)
        stream.write(np.ascontiguousarray(through_jpeg(batch) if self.jpeg else batch).data)
        return len(batch)

    def _download(self, root: Path, progress: Progress) -> None:
        self._located(self.splits)  # raises with instructions if a file is missing
        progress("imagenet32: the files already exist")

    def _how(self, root: Path) -> str:
        return (
            "automatic download is not possible: register at https://image-net.org, get "
            "Imagenet32_train_npz.zip and Imagenet32_val_npz.zip (or Imagenet32_train.zip and "
            f"Imagenet32_val.zip, the same as pickles) from {self.home} and unpack them in "
            f"{root / FOLDER}"
        )


def through_jpeg(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Encode images as JPEG and decode them again.

    Arguments:
        images: uint8, (N, 3, H, W).

    Returns:
        uint8, (N, 3, H, W); values may differ by a few levels between versions of libjpeg.
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
    """Open an unnamed temporary file, in the raw folder if writable."""
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError:
        return tempfile.TemporaryFile()
