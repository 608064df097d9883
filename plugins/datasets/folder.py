"""Images from disk."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oodbench import DataError, Images, MissingDataError
from plugins.datasets._common import SPLITS, check_split, files_stamp
from plugins.datasets.arrays import read_array
from plugins.datasets.image_files import Depth, count_passed_over, list_pictures, read_pictures
from plugins.datasets.npz import array_names

LAYOUTS = (
    {"train": ("train",), "test": ("test",)},
    {"train": ("train.npy",), "test": ("test.npy",)},
    {
        "train": ("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"),
        "test": ("t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz"),
    },
)
"""File or folder names for each split; the first existing name is used."""
SHOWN = 5
"""Number of suffixes to name in a note."""


@dataclass(kw_only=True, eq=False)
class Folder:
    """Pictures or arrays from disk.

    With `split = "folders"` the data is already split: `path` is a folder with subfolders of
    pictures `train` and `test`, or with `train.npy` and `test.npy`, or with MNIST's
    `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte` (optionally with `.gz`); or `path` is
    an `.npz` file with arrays named `train` and `test`. Splits are used unchanged, including
    duplicates; a single split is enough for data used only as OOD.

    With `split = "seed"` all examples form a pool: `path` is a folder of pictures, an `.npy`
    file, an `.npz` file with a single array, or an idx file. A hash of seed and pixels assigns
    examples to the splits, so equal examples are never in both splits, whatever the format of the
    picture files. The pixels are those of the finished example, so another size or another number
    of channels is another division.

    Pictures (including pictures in subfolders, in sorted order) are cropped to the central square
    and resized with Pillow's antialiased Lanczos filter; EXIF orientation is applied, transparent
    pixels are blended with black. Resizing and JPEG leave traces, and a score can learn to detect
    these traces: give every data set in a comparison the same history.

    Of 16-bit values the upper 8 bits are kept. If the gray 16-bit pictures of both splits use 8 or
    12 bits only (largest value 128 to 255, or 2,048 to 4,095), the upper 8 of these bits are kept
    and a note says so; another largest value below 4,096 is ambiguous and refused. Of colours with
    16 bits Pillow keeps the upper 8 bits; a note tells if they are nearly black.

    Files in a folder of pictures with other suffixes are passed over, and a note counts them.

    Arrays are uint8 with the right size, as (N, H, W) for a single channel, (N, H, W, C) or
    (N, C, H, W). Pickled content is never loaded.

    Arguments:
        path: Folder or file; relative to the suite, `~` is the home directory.
        size: Height and width of an image, in pixels.
        channels: 3 for colour (gray pictures are repeated), 1 for gray (colours are converted to
            luma, ITU-R BT.601); arrays must have the same number of channels.
        split: `folders` if the data is already split, `seed` for a random split.
        test_share: With `seed`, fraction of the examples in the test split.
        seed: With `seed`, seed for the random split.
    """

    path: Path
    size: Annotated[int, Field(ge=1)]
    channels: Literal[1, 3] = 3
    split: Literal["folders", "seed"] = "folders"
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        self.domain = Images(self.channels, self.size, self.size)
        self.path = self.path.expanduser()
        self._is_divided = self.split == "folders"

    @property
    def splits(self) -> tuple[str, ...]:
        """Available splits: both, or a single split, which is enough for OOD data."""
        try:
            there = self._parts() if self._is_divided else SPLITS
        except DataError:
            return SPLITS
        return tuple(split for split in SPLITS if split in there)

    def load(self, split: str) -> NDArray[np.uint8]:
        """Return the images of a split, uint8, (N, channels, size, size).

        For an `.npy` file or an uncompressed idx file, the array is a memory map.

        Raises:
            MissingDataError: The path does not exist, or lacks the split.
            DataError: The path contains no images, images from another domain, or unreadable
                files.
        """
        check_split("folder", split)
        if not self._is_divided:
            return self._load_share(split)
        parts = self._parts()
        if split not in parts:
            raise MissingDataError(f"{self.path}: only {next(iter(parts))} found, not {split}")
        part = parts[split]
        if part.is_dir():
            return read_pictures(list_pictures(part), self.domain, self._depth)
        return read_array(part, self.domain, split)

    def notes(self) -> list[str]:
        """Return notes on the files passed over and on the depth of 16-bit pictures.

        Raises:
            MissingDataError: The path does not exist.
            DataError: The path contains no images.
        """
        return [*self._passed_over(), *self._depth.notes()]

    def _passed_over(self) -> list[str]:
        """Return a note on the files passed over, if any."""
        return passed_over(sum(map(count_passed_over, self._picture_folders()), Counter()))

    def stamp(self) -> str:
        """Hash the relative name and the content or state of every file to read.

        The content counts for up to 4,096 files of up to 16 MiB in all; else size, times and inode
        of each file. The numbers of files that are passed over enter too, because a note tells
        them.

        Raises:
            MissingDataError: The path does not exist.
            DataError: The path contains no images, or a file cannot be read.
        """
        files = [
            file
            for part in self._sources()
            for file in (list_pictures(part) if part.is_dir() else [part])
        ]
        names = sorted(file.relative_to(self.path).as_posix() for file in files)
        stamp, passed_over = files_stamp(self.path, names), self._passed_over()
        if not passed_over:
            return stamp
        return hashlib.sha256("\n".join([stamp, *passed_over]).encode()).hexdigest()

    def _load_share(self, split: str) -> NDArray[np.uint8]:
        pool = self._pool()
        if pool.is_dir():
            examples = read_pictures(list_pictures(pool), self.domain, self._depth)
        else:
            examples = read_array(pool, self.domain)
        return examples[self._chosen(examples, split)]

    def _chosen(self, examples: NDArray[np.uint8], split: str) -> NDArray[np.int64]:
        """Return the ascending positions of the examples in a split."""
        tickets = [ticket(self.seed, example.tobytes()) for example in examples]
        if len(set(tickets)) < 2:
            raise DataError(
                f"{self.path}: a split into train and test needs at least two different examples"
            )
        in_test = lowest(tickets, self.test_share)
        return np.flatnonzero(in_test if split == "test" else ~in_test)

    @cached_property
    def _depth(self) -> Depth:
        folders = self._picture_folders()
        return Depth([file for folder in folders for file in list_pictures(folder)])

    def _picture_folders(self) -> list[Path]:
        return [source for source in self._sources() if source.is_dir()]

    def _sources(self) -> list[Path]:
        """List the files and folders that hold all examples."""
        if not self._is_divided:
            return [self._pool()]
        return list(dict.fromkeys(self._parts().values()))

    def _parts(self) -> dict[str, Path]:
        """Find the file or folder for each split by name; at least one split is present."""
        path = self._existing_path()
        if path.is_file():
            if path.suffix != ".npz":
                raise DataError(
                    f'{path}: only an .npz file can contain two splits; use split = "seed"'
                )
            names = array_names(path)
            parts = {split: path for split in SPLITS if split in names}
            if not parts:
                found = ", ".join(names) or "no array"
                raise DataError(f"{path}: array 'train' or 'test' not found; found: {found}")
            return parts
        layouts = [parts for layout in LAYOUTS if (parts := _existing(path, layout))]
        if not layouts:
            raise DataError(
                f"{path}: {' or '.join(layout['train'][0] for layout in LAYOUTS)} not found; to "
                'split a pool of images use split = "seed"'
            )
        if len(layouts) > 1:
            rivals = " and ".join(next(iter(parts.values())).name for parts in layouts)
            raise DataError(f"{path}: found {rivals}; keep only one, because both could be meant")
        return layouts[0]

    def _pool(self) -> Path:
        """Return the path with all examples."""
        path = self._existing_path()
        for layout in LAYOUTS[1:]:
            for part in _existing(path, layout).values():
                raise DataError(f'{path}: found {part.name}, which needs split = "folders"')
        return path

    def _existing_path(self) -> Path:
        if not self.path.exists():
            raise MissingDataError(f"{self.path} does not exist")
        return self.path


def passed_over(counts: Counter[str]) -> list[str]:
    """Return a note on the files passed over, if any, from their counts by suffix."""
    if not counts:
        return []
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kinds = [f"{count:,} {suffix or 'without suffix'}" for suffix, count in ordered[:SHOWN]]
    if len(ordered) > SHOWN:
        kinds.append(f"{sum(count for _, count in ordered[SHOWN:]):,} others")
    files = "1 file was" if counts.total() == 1 else f"{counts.total():,} files were"
    return [f"{files} passed over: {', '.join(kinds)}"]


def ticket(seed: int, content: bytes) -> bytes:
    """Return the hash that assigns an example to a split; equal contents get equal tickets."""
    return hashlib.blake2b(f"{seed}:".encode() + content, digest_size=16).digest()


def lowest(tickets: Sequence[bytes], share: float) -> NDArray[np.bool_]:
    """Mark the lowest tickets.

    Arguments:
        tickets: Tickets with at least two different values.
        share: Fraction of tickets to mark. The number is rounded, but at least one ticket is
            marked and at least one is not. Equal tickets are marked together.

    Returns:
        bool, (N,).
    """
    ordered = sorted(tickets)
    count = min(max(round(share * len(ordered)), 1), len(ordered) - 1)
    highest = ordered[count - 1]
    if highest == ordered[-1]:
        return np.array([one < highest for one in tickets])
    return np.array([one <= highest for one in tickets])


def _existing(folder: Path, layout: Mapping[str, Sequence[str]]) -> dict[str, Path]:
    paths = {split: [folder / name for name in names] for split, names in layout.items()}
    there = {split: [path for path in some if path.exists()] for split, some in paths.items()}
    return {split: some[0] for split, some in there.items() if some}
