"""Picture files, listed in a fixed order and decoded to uint8."""

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
"""Maximum number of pixels; checked before decoding, and below the limit for Pillow's warning."""
MAX_BYTES = 2**29
"""Maximum file size in bytes; checked before reading."""
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})


def list_pictures(folder: Path) -> list[Path]:
    """List the picture files in a folder and all subfolders; links are followed.

    Hidden files, hidden folders and files with other suffixes are skipped.

    Returns:
        Paths, sorted by the relative path with `/` as separator, so that the order is the same on
        every machine.

    Raises:
        DataError: The folder contains no pictures, a folder cannot be listed, or appears twice
            through links.
    """
    found: dict[str, Path] = {}
    seen: dict[str, str] = {}
    for here, subfolders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        twin = seen.setdefault(os.path.realpath(here), here)
        if twin != here:
            raise DataError(f"{here}: a link to {twin}; the pictures would count twice")
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                file = Path(here, name)
                found[file.relative_to(folder).as_posix()] = file
    if not found:
        raise DataError(f"{folder}: no pictures found; supported are {', '.join(SUFFIXES)}")
    return [found[name] for name in sorted(found)]


def read_bytes(file: Path) -> bytes:
    """Read a whole file.

    Raises:
        DataError: The file cannot be read or is too large.
    """
    check_file(file, MAX_BYTES)
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error


def read_pictures(files: list[Path], domain: Images) -> NDArray[np.uint8]:
    """Read picture files in the given order.

    Returns:
        uint8, (N, *domain.shape).

    Raises:
        DataError: A file cannot be read as a picture.
    """
    examples = np.empty((len(files), *domain.shape), np.uint8)
    for index, file in enumerate(files):
        examples[index] = read_picture(file, domain)
    return examples


def read_picture(file: Path, domain: Images) -> NDArray[np.uint8]:
    """Read a picture and resize the central square to a domain.

    The steps: the first frame is decoded and rotated according to the EXIF orientation;
    transparent pixels are blended with black; 16-bit values are reduced to the upper 8 bits; the
    longer side is cropped to the centre (an odd pixel is cut at the right or bottom); pictures
    with another size are resized by Pillow's antialiased Lanczos filter; colours are converted to
    gray by `luma` for domains with a single channel, and gray is repeated for three channels.

    Returns:
        uint8, domain.shape.

    Raises:
        DataError: The file is not a picture, damaged, too large, or has a mode without an 8-bit
            interpretation.
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
    """Open a picture for decoding, with Pillow's warnings turned off.

    Arguments:
        content: The picture file.
        where: Name of the file in messages.

    Raises:
        DataError: The file is not a picture or too large, or the block failed to decode it.
    """
    import PIL.Image

    with data_errors(f"{where}: cannot be read as a picture"), warnings.catch_warnings():
        # Pillow warns about repairable files, and about large pictures, which are refused here.
        warnings.simplefilter("ignore")
        with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{where}: {image.width} x {image.height} pixels are more than the maximum, "
                    f"{MAX_PIXELS}"
                )
            yield image


def _eight_bits(file: Path, image: PIL.Image.Image, kind: str | None) -> PIL.Image.Image:
    """Convert a picture to mode L or RGB."""
    import PIL.Image

    # Older versions of Pillow open 16-bit PNG files in mode I, and all versions 16-bit PGM files.
    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        return PIL.Image.fromarray((np.asarray(image).astype(np.int64) >> 8).astype(np.uint8))
    if image.mode not in MODES:
        raise DataError(f"{file}: mode {image.mode} is not supported; save it with 8 bits")
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
