"""Picture files: found in a fixed order, decoded to uint8."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images
from plugins.datasets._common import check_file, data_errors, luma

if TYPE_CHECKING:
    import PIL.Image

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 2**26
"""Larger pictures are refused unread; Pillow's own limit, which warns, is above it."""
MAX_BYTES = 2**29
"""Larger files are refused unread."""
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})


def list_pictures(folder: Path) -> list[Path]:
    """The picture files of a folder and its subfolders, links followed.

    Hidden files and folders and files of other suffixes are passed over.

    Returns:
        Sorted by path relative to the folder, written with `/`: the same on every machine.

    Raises:
        DataError: There is none, a folder cannot be listed, or is there twice through links.
    """
    found: dict[str, Path] = {}
    seen: dict[str, str] = {}
    for here, subfolders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        twin = seen.setdefault(os.path.realpath(here), here)
        if twin != here:
            raise DataError(f"{here}: it is a link to {twin}, whose pictures would count twice")
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                file = Path(here, name)
                found[file.relative_to(folder).as_posix()] = file
    if not found:
        raise DataError(f"{folder}: no picture in it; known are {', '.join(SUFFIXES)}")
    return [found[name] for name in sorted(found)]


def read_bytes(file: Path) -> bytes:
    """The content of a file.

    Raises:
        DataError: It cannot be read.
    """
    check_file(file, MAX_BYTES)
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error


def read_pictures(files: list[Path], domain: Images) -> NDArray[np.uint8]:
    """uint8, (N, *domain.shape), of picture files in the order given.

    Raises:
        DataError: A file cannot be read as a picture.
    """
    examples = np.empty((len(files), *domain.shape), np.uint8)
    for index, file in enumerate(files):
        examples[index] = read_picture(file, domain)
    return examples


def read_picture(file: Path, domain: Images) -> NDArray[np.uint8]:
    """The centre of a picture, reduced or enlarged to a square domain.

    The steps: the first frame is decoded and turned as its EXIF orientation says; transparent
    pixels are laid over black; of 16 bits the upper 8 are kept; the longer side is cropped to the
    centre (the odd pixel is cut at the right or bottom); a picture of another size is resized by
    Pillow's antialiased Lanczos filter; colours become gray by `luma` where one channel is asked
    for, gray is repeated where three are.

    Returns:
        uint8, domain.shape.

    Raises:
        DataError: Not a picture, damaged, too large, or of a mode with no 8-bit meaning.
    """
    import PIL.ImageOps

    with opened_picture(read_bytes(file), str(file)) as image:
        kind = image.format
        picture = _eight_bits(file, PIL.ImageOps.exif_transpose(image), kind)
        pixels = np.asarray(_square(picture, domain.height))
    if pixels.ndim == 2:
        return np.broadcast_to(pixels, domain.shape)
    return luma(pixels)[np.newaxis] if domain.channels == 1 else pixels.transpose(2, 0, 1)


@contextmanager
def opened_picture(content: bytes, where: str) -> Iterator[PIL.Image.Image]:
    """A picture whose pixels can be decoded.

    Arguments:
        content: The picture file.
        where: Name of the file in messages.

    Raises:
        DataError: The file is not a picture or too large, or the block failed to decode it.
    """
    import PIL.Image

    with data_errors(f"{where}: cannot be read as a picture"), warnings.catch_warnings():
        # Pillow warns about what it can mend and about pictures that are refused here anyway.
        warnings.simplefilter("ignore")
        with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{where}: {image.width} x {image.height} pixels are more than the "
                    f"{MAX_PIXELS} of the largest picture that is read"
                )
            yield image


def _eight_bits(file: Path, image: PIL.Image.Image, kind: str | None) -> PIL.Image.Image:
    """The picture in mode L or RGB."""
    import PIL.Image

    # Older versions of Pillow open 16-bit PNG, and all of them 16-bit PGM, in mode I.
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        return PIL.Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8))
    if image.mode not in MODES:
        raise DataError(f"{file}: pictures of mode {image.mode} are not read; save it with 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = PIL.Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = PIL.Image.alpha_composite(black, image)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _square(image: PIL.Image.Image, size: int) -> PIL.Image.Image:
    import PIL.Image

    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side == size:
        return image
    return image.resize((size, size), PIL.Image.Resampling.LANCZOS)


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror})") from error
