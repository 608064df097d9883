"""Pictures in a folder or in a zip archive, cropped and resized."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Self

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images
from plugins.datasets._common import data_errors
from plugins.datasets.image_files import list_pictures, opened_picture, read_bytes

MAX_BYTES = 2**26
"""Larger members of an archive are refused unread."""

Box = tuple[int, int, int, int]


class Pictures:
    """The files of a folder, or of an archive that holds one folder of the archive's name.

    Arguments:
        path: The folder, or the archive.

    Raises:
        DataError: It is neither.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with data_errors(f"{path}: cannot be read as a zip archive"):
            self._archive = None if path.is_dir() else zipfile.ZipFile(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._archive is not None:
            self._archive.close()

    def names(self, suffix: str) -> list[str]:
        """Names relative to the folder, with `/`, sorted; hidden files are passed over.

        Raises:
            DataError: There is none.
        """
        if self._archive is None:
            files = [file.relative_to(self.path) for file in list_pictures(self.path)]
            names = [file.as_posix() for file in files]
        else:
            top = f"{self.path.stem}/"
            names = [name[len(top) :] for name in self._archive.namelist() if name.startswith(top)]
        found = sorted(
            name
            for name in names
            if name.endswith(suffix)
            and not any(part.startswith(".") for part in PurePosixPath(name).parts)
        )
        if not found:
            raise DataError(f"{self.path}: no {suffix} picture in it")
        return found

    def where(self, name: str) -> str:
        """What messages call a file."""
        if self._archive is None:
            return str(self.path / name)
        return f"{self.path}: {self.path.stem}/{name}"

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            DataError: It is not there or damaged.
        """
        if self._archive is None:
            return read_bytes(self.path / name)
        with data_errors(f"{self.where(name)}: cannot be read"):
            member = self._archive.getinfo(f"{self.path.stem}/{name}")
            if member.file_size > MAX_BYTES:
                raise ValueError(f"{member.file_size} bytes are too many for a picture")
            return self._archive.read(member)


def read_resized(
    pictures: Pictures,
    names: Sequence[str],
    domain: Images,
    *,
    size: tuple[int, int] | None = None,
    crop: Box | None = None,
) -> NDArray[np.uint8]:
    """Pictures brought to a domain.

    Each is decoded, cropped, and resized as a whole, its shape not kept, by Pillow's bilinear
    filter. That is antialiased: on reduction the filter is as wide as the reduction asks, and
    both axes are rounded to integers one after the other. `torchvision.transforms.Resize` gives
    the same of a Pillow image.

    Arguments:
        pictures: Where they are.
        names: Which, in this order.
        domain: Of one channel (gray by Pillow's `L`) or three.
        size: Width and height that every picture must have.
        crop: Left, upper, right and lower border of what is kept; right and lower excluded.

    Returns:
        uint8, (N, *domain.shape).

    Raises:
        DataError: One cannot be read or is of another size.
    """
    examples = np.empty((len(names), *domain.shape), np.uint8)
    for example, name in zip(examples, names, strict=True):
        example[...] = _resized(pictures.read(name), pictures.where(name), domain, size, crop)
    return examples


def plain_names(names: Iterable[str], file: Path) -> list[str]:
    """Names that a list gives of files in one folder.

    Raises:
        DataError: One has parts, so could lead elsewhere.
    """
    checked = list(names)
    for name in checked:
        if not name or name.startswith(".") or "/" in name or "\\" in name:
            raise DataError(f"{file}: {name[:200]!r} is not the name of a picture")
    return checked


def _resized(
    content: bytes, where: str, domain: Images, size: tuple[int, int] | None, crop: Box | None
) -> NDArray[np.uint8]:
    import PIL.Image

    with opened_picture(content, where) as image:
        if size is not None and image.size != size:
            width, height = image.size
            raise DataError(f"{where}: it is {width} x {height} pixels, not {size[0]} x {size[1]}")
        picture = image.convert("L" if domain.channels == 1 else "RGB")
    if crop is not None:
        picture = picture.crop(crop)
    shape = (domain.width, domain.height)
    pixels = np.asarray(picture.resize(shape, PIL.Image.Resampling.BILINEAR))
    return pixels[np.newaxis] if domain.channels == 1 else pixels.transpose(2, 0, 1)
