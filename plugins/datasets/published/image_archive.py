"""Pictures in a folder or in a zip archive, cropped and resized."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Self

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images
from plugins.datasets._common import reason
from plugins.datasets.image_files import FORMATS, MAX_PIXELS, list_pictures, read_bytes

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
        self._archive: zipfile.ZipFile | None = None
        if not path.is_dir():
            try:
                self._archive = zipfile.ZipFile(path)
            except Exception as error:
                raise DataError(
                    f"{path}: cannot be read as a zip archive ({reason(error)})"
                ) from error

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
        try:
            member = self._archive.getinfo(f"{self.path.stem}/{name}")
            if member.file_size > MAX_BYTES:
                raise ValueError(f"{member.file_size} bytes are too many for a picture")
            return self._archive.read(member)
        except Exception as error:
            raise DataError(f"{self.where(name)}: cannot be read ({reason(error)})") from error


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

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check_size(image.size, where, size)
                picture = image.convert("L" if domain.channels == 1 else "RGB")
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{where}: cannot be read as a picture ({reason(error)})") from error
    if crop is not None:
        picture = picture.crop(crop)
    shape = (domain.width, domain.height)
    pixels = np.asarray(picture.resize(shape, PIL.Image.Resampling.BILINEAR))
    return pixels[np.newaxis] if domain.channels == 1 else pixels.transpose(2, 0, 1)


def _check_size(found: tuple[int, int], where: str, size: tuple[int, int] | None) -> None:
    text = f"{where}: it is {found[0]} x {found[1]} pixels"
    if size is not None and found != size:
        raise DataError(f"{text}, not {size[0]} x {size[1]}")
    if found[0] * found[1] > MAX_PIXELS:
        raise DataError(f"{text}, more than are read")
