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
from plugins.datasets.image_files import opened_picture, read_bytes, visible_names

MAX_BYTES = 2**26
"""Maximum size of an archive member in bytes; checked before reading."""

Box = tuple[int, int, int, int]


class Pictures:
    """Picture files in a folder, or in a zip archive.

    An archive contains a single folder with the same name as the archive.

    Arguments:
        path: Path of the folder or the archive.

    Raises:
        DataError: The path is neither a folder nor a zip archive.
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
        """List names relative to the folder, with `/`, sorted; hidden files are skipped.

        Raises:
            DataError: No picture has the suffix.
        """
        if self._archive is None:
            names = list(visible_names(self.path))
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
            raise DataError(f"{self.path}: no {suffix} pictures found")
        return found

    def where(self, name: str) -> str:
        """Return the location of a file for messages."""
        if self._archive is None:
            return str(self.path / name)
        return f"{self.path}: {self.path.stem}/{name}"

    def read(self, name: str) -> bytes:
        """Read a whole file.

        Raises:
            DataError: The file is missing, damaged or too large.
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
    """Read pictures and resize them to a domain.

    Each picture is decoded, cropped, and resized as a whole by Pillow's bilinear filter, without
    preserving the aspect ratio. The filter is antialiased: on reduction the filter width grows
    with the reduction factor, and each axis is rounded to integers in turn. For a Pillow image,
    `torchvision.transforms.Resize` gives the same result.

    Arguments:
        pictures: Folder or archive with the pictures.
        names: Names of the pictures to read, in the order of the result.
        domain: Domain with a single channel (gray by Pillow's mode `L`) or three channels.
        size: Required width and height of every picture; None accepts any size.
        crop: Left, upper, right and lower border of the part to keep; right and lower borders are
            excluded.

    Returns:
        uint8, (N, *domain.shape).

    Raises:
        DataError: A picture cannot be read or has another size.
    """
    examples = np.empty((len(names), *domain.shape), np.uint8)
    for example, name in zip(examples, names, strict=True):
        example[...] = _resized(pictures.read(name), pictures.where(name), domain, size, crop)
    return examples


def plain_names(names: Iterable[str], file: Path) -> list[str]:
    """Check file names from a list; all files belong to the same folder.

    Raises:
        DataError: A name contains a path separator, so could point to another folder.
    """
    checked = list(names)
    for name in checked:
        if not name or name.startswith(".") or "/" in name or "\\" in name:
            raise DataError(f"{file}: {name[:200]!r} is not a plain file name")
    return checked


def _resized(
    content: bytes, where: str, domain: Images, size: tuple[int, int] | None, crop: Box | None
) -> NDArray[np.uint8]:
    import PIL.Image

    with opened_picture(content, where) as image:
        if size is not None and image.size != size:
            raise DataError(
                f"{where}: the size is {image.width} x {image.height} pixels, not "
                f"{size[0]} x {size[1]}"
            )
        picture = image.convert("L" if domain.channels == 1 else "RGB")
    if crop is not None:
        picture = picture.crop(crop)
    shape = (domain.width, domain.height)
    pixels = np.asarray(picture.resize(shape, PIL.Image.Resampling.BILINEAR))
    return pixels[np.newaxis] if domain.channels == 1 else pixels.transpose(2, 0, 1)
