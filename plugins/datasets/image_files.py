"""Picture files, listed in a fixed order and decoded to uint8."""

from __future__ import annotations

import io
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images
from plugins.datasets._common import check_file, data_errors, luma

if TYPE_CHECKING:
    import PIL.Image

SUFFIXES = (
    ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
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
    found = [name for name in visible_names(folder) if name.lower().endswith(SUFFIXES)]
    if not found:
        raise DataError(f"{folder}: no pictures found; supported are {', '.join(SUFFIXES)}")
    return [folder / name for name in sorted(found)]


def count_passed_over(folder: Path) -> Counter[str]:
    """Count the files in a folder and all subfolders that are not pictures, by suffix.

    Hidden files and hidden folders are not counted.

    Returns:
        Counts by suffix in lower case; by the empty text for files without a suffix.

    Raises:
        DataError: A folder cannot be listed, or appears twice through links.
    """
    suffixes = (PurePosixPath(name).suffix.lower() for name in visible_names(folder))
    return Counter(suffix for suffix in suffixes if suffix not in SUFFIXES)


def visible_names(folder: Path) -> Iterator[str]:
    """Yield the paths of all files in a folder and all subfolders, relative, with `/`.

    Links are followed. Hidden files and hidden folders are skipped.

    Raises:
        DataError: A folder cannot be listed, or appears twice through links.
    """
    seen: dict[str, str] = {}
    for here, subfolders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        twin = seen.setdefault(os.path.realpath(here), here)
        if twin != here:
            raise DataError(f"{here}: a link to {twin}; the files would count twice")
        inside = Path(here).relative_to(folder).as_posix()
        start = "" if inside == "." else f"{inside}/"
        yield from (start + name for name in names if not name.startswith("."))


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


class Depth:
    """Number of bits that the 16-bit gray pictures of a data set use, found at the first of them.

    Pictures of 8 or 12 bits are often saved with 16 bits, unchanged. All pictures of a data set
    together decide, so that equal values stay equal:

    - 16 bits, if the largest value is 4,096 or more
    - 12 bits, if it is from 2,048 to 4,095
    - 8 bits, if it is from 128 to 255

    Any other largest value is ambiguous: the pictures could be dark, or of another depth.

    Arguments:
        files: All pictures of the data set.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._count, self._largest = 0, 0

    @cached_property
    def bits(self) -> int:
        """Number of bits, from which the upper 8 are kept: 8, 12 or 16.

        Raises:
            DataError: The number is ambiguous, or a file cannot be read as a picture.
        """
        largest = [value for file in self._files if (value := _largest_if_deep(file)) is not None]
        self._count, self._largest = len(largest), max(largest)
        used = self._largest.bit_length()
        if used >= 13:
            return 16
        if used not in (8, 12):
            where = os.path.commonpath([file.parent for file in self._files])
            raise DataError(
                f"{where}: the largest value of {self._text()} is {self._largest:,}, neither 128 "
                "to 255 (8 bits) nor 2,048 or more (12 or 16 bits); save them with 8 bits"
            )
        return used

    def notes(self) -> list[str]:
        """Return a note on pictures that do not use all of 16 bits, if any were read."""
        if self._count == 0 or self.bits == 16:
            return []
        return [f"{self._text()} read as {self.bits}-bit; the largest value is {self._largest:,}"]

    def _text(self) -> str:
        return f"{self._count:,} 16-bit picture{'' if self._count == 1 else 's'}"


def _largest_if_deep(file: Path) -> int | None:
    """Return the largest value of a 16-bit gray picture; None for any other picture."""
    with opened_picture(read_bytes(file), str(file)) as image:
        return int(np.asarray(image).max()) if is_deep(image) else None


def read_pictures(files: Sequence[Path], domain: Images, depth: Depth) -> NDArray[np.uint8]:
    """Read picture files in the given order.

    Arguments:
        files: The files.
        domain: Domain of the examples.
        depth: Depth of all 16-bit pictures in the data set.

    Returns:
        uint8, (N, *domain.shape).

    Raises:
        DataError: A file cannot be read as a picture.
    """
    examples = np.empty((len(files), *domain.shape), np.uint8)
    for index, file in enumerate(files):
        examples[index] = _read_picture(file, domain, depth)
    return examples


def _read_picture(file: Path, domain: Images, depth: Depth) -> NDArray[np.uint8]:
    """Read a picture and resize the central square to a domain, as `example_of` does.

    Returns:
        uint8, domain.shape.

    Raises:
        DataError: The file is not a picture, damaged, too large, or has a mode without an 8-bit
            interpretation.
    """
    with opened_picture(read_bytes(file), str(file)) as image:
        shift = depth.bits - 8 if is_deep(image) else None
        return example_of(eight_bits(file, image, shift), domain)


def example_of(picture: PIL.Image.Image, domain: Images) -> NDArray[np.uint8]:
    """Convert a picture to an example.

    The steps: the longer side is cropped to the centre (an odd pixel is cut at the right or
    bottom); pictures with another size are resized by Pillow's antialiased Lanczos filter; colours
    are converted to gray by `luma` for domains with a single channel, and gray is repeated for
    three channels.

    Arguments:
        picture: In mode L or RGB; see `eight_bits`.
        domain: Domain of the example, with equal height and width.

    Returns:
        uint8, domain.shape.
    """
    return in_channels(np.asarray(_square(picture, domain.height)), domain)


def in_channels(pixels: NDArray[np.uint8], domain: Images) -> NDArray[np.uint8]:
    """Convert pixels, uint8, (H, W) or (H, W, 3), to the channels of a domain, (C, H, W)."""
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
    with data_errors(f"{where}: cannot be read as a picture"), warnings.catch_warnings():
        # Pillow warns about repairable files, and about large pictures, which are refused here.
        warnings.simplefilter("ignore")
        with _identified(content) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{where}: {image.width} x {image.height} pixels are more than the maximum, "
                    f"{MAX_PIXELS}"
                )
            yield image


def _identified(content: bytes) -> PIL.Image.Image:
    import PIL.Image

    try:
        return PIL.Image.open(io.BytesIO(content), formats=FORMATS)
    except PIL.UnidentifiedImageError as error:
        # Pillow's text has the address of the bytes, which differs from run to run.
        raise PIL.UnidentifiedImageError("cannot identify image file") from error


def is_deep(image: PIL.Image.Image) -> bool:
    """Check for a gray picture with 16 bits."""
    # Older versions of Pillow open 16-bit PNG files in mode I, and all versions 16-bit PGM files.
    is_wide = image.mode == "I" and image.format in ("PNG", "PPM")
    return is_wide or image.mode.startswith("I;16")


def eight_bits(file: Path, image: PIL.Image.Image, shift: int | None) -> PIL.Image.Image:
    """Convert a picture to mode L or RGB.

    The first frame is decoded and rotated according to the EXIF orientation; transparent pixels
    are blended with black.

    Arguments:
        file: The picture's file, for messages.
        image: The picture; may be rotated in place.
        shift: Number of lower bits to drop from the values of a 16-bit gray picture; None for any
            other picture.

    Raises:
        DataError: The mode has no 8-bit interpretation.
    """
    import PIL.Image
    import PIL.ImageOps

    PIL.ImageOps.exif_transpose(image, in_place=True)
    if shift is not None:
        return PIL.Image.fromarray((np.asarray(image).astype(np.int64) >> shift).astype(np.uint8))
    if image.mode not in MODES:
        raise DataError(f"{file}: mode {image.mode} is not supported; save it with 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = PIL.Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = PIL.Image.alpha_composite(black, image)
    mode = "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)  # `convert` always copies


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
