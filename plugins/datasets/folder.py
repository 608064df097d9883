"""Images of your own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oodbench import DataError, Images, MissingDataError
from plugins.datasets._common import SPLITS, check_split, files_stamp
from plugins.datasets.arrays import read_array
from plugins.datasets.image_files import list_pictures, read_bytes, read_pictures
from plugins.datasets.npz import array_names

LAYOUTS = (
    {"train": ("train",), "test": ("test",)},
    {"train": ("train.npy",), "test": ("test.npy",)},
    {
        "train": ("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"),
        "test": ("t10k-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz"),
    },
)
"""Names, in the folder, of what holds each split; of two names the first that exists."""


@dataclass(kw_only=True, eq=False)
class Folder:
    """Pictures or arrays from your own disk.

    With `split = "folders"` the splits are given: `path` is a folder that holds subfolders of
    pictures `train` and `test`, or `train.npy` and `test.npy`, or MNIST's
    `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte` (or these with `.gz`); or an `.npz`
    file with arrays named `train` and `test`. They are taken as they are, duplicates included;
    one of the two is enough for data that only serves as OOD.

    With `split = "seed"` all examples are one pool: `path` is a folder of pictures, an `.npy`
    file, an `.npz` file with one array or an idx file. Who is in test is decided by a hash of
    seed and content, so equal files (or equal images of an array) are never in both splits.

    Pictures (of subfolders too, in sorted order) are cropped to the central square and resized
    with Pillow's antialiased Lanczos filter; EXIF orientation is applied, transparency laid over
    black, of 16 bits the upper 8 kept. Resizing and JPEG leave traces that a score can learn:
    give every data set of a comparison the same history.

    Arrays are uint8 of the right size, as (N, H, W) where there is one channel, (N, H, W, C) or
    (N, C, H, W). Nothing is unpickled.

    Arguments:
        path: Folder or file; relative to the current directory, `~` is the home directory.
        size: Height and width of an image.
        channels: 3 for colour (gray pictures are repeated), 1 for gray (colours become their
            luma, ITU-R BT.601); arrays must have that many.
        split: `folders` if the data comes divided, `seed` if it is to be divided at random.
        test_share: With `seed`, the share of the examples that go to test.
        seed: With `seed`, which ones.
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
        """Both, or the one that is there: what serves as OOD needs no train split."""
        try:
            there = self._parts() if self._is_divided else SPLITS
        except DataError:
            return SPLITS
        return tuple(split for split in SPLITS if split in there)

    def load(self, split: str) -> NDArray[np.uint8]:
        """uint8, (N, channels, size, size); of an `.npy` or plain idx file a memory map.

        Raises:
            MissingDataError: The path, or the split in it, does not exist.
            DataError: It holds no images, other images, or something that cannot be read.
        """
        check_split("folder", split)
        if not self._is_divided:
            return self._load_share(split)
        parts = self._parts()
        if split not in parts:
            raise MissingDataError(f"{self.path}: it has {next(iter(parts))} but no {split} split")
        part = parts[split]
        if part.is_dir():
            return read_pictures(list_pictures(part), self.domain)
        return read_array(part, self.domain, split)

    def stamp(self) -> str:
        """Hash of the relative name, size and modification time of every file that is read.

        Raises:
            MissingDataError: The path does not exist.
            DataError: There is nothing to read.
        """
        parts = set(self._parts().values()) if self._is_divided else {self._pool()}
        files = [
            file for part in parts for file in (list_pictures(part) if part.is_dir() else [part])
        ]
        files.sort(key=lambda file: file.relative_to(self.path).as_posix())
        return files_stamp(self.path, files)

    def _load_share(self, split: str) -> NDArray[np.uint8]:
        pool = self._pool()
        if pool.is_dir():
            files = list_pictures(pool)
            chosen = self._chosen((read_bytes(file) for file in files), split)
            return read_pictures([files[index] for index in chosen], self.domain)
        array = read_array(pool, self.domain)
        return array[self._chosen((example.tobytes() for example in array), split)]

    def _chosen(self, contents: Iterable[bytes], split: str) -> NDArray[np.int64]:
        """Positions, ascending, of the examples that belong to a split."""
        tickets = [ticket(self.seed, content) for content in contents]
        if len(set(tickets)) < 2:
            raise DataError(
                f"{self.path}: two different examples are needed to divide it in train and test"
            )
        in_test = lowest(tickets, self.test_share)
        return np.flatnonzero(in_test if split == "test" else ~in_test)

    def _parts(self) -> dict[str, Path]:
        """Where each split is, found by name; at least one of them."""
        path = self._existing_path()
        if path.is_file():
            if path.suffix != ".npz":
                raise DataError(
                    f'{path}: of single files only .npz holds two splits; use split = "seed"'
                )
            names = array_names(path)
            parts = {split: path for split in SPLITS if split in names}
            if not parts:
                found = ", ".join(names) or "none"
                raise DataError(f"{path}: it has no array 'train' or 'test', found: {found}")
            return parts
        layouts = [parts for layout in LAYOUTS if (parts := _existing(path, layout))]
        if not layouts:
            raise DataError(
                f"{path}: it holds none of {', '.join(layout['train'][0] for layout in LAYOUTS)}; "
                'to divide one pool of images use split = "seed"'
            )
        if len(layouts) > 1:
            rivals = " and ".join(next(iter(parts.values())).name for parts in layouts)
            raise DataError(f"{path}: it holds {rivals}, and either could be meant; keep one")
        return layouts[0]

    def _pool(self) -> Path:
        """Where all examples are."""
        path = self._existing_path()
        for layout in LAYOUTS[1:]:
            for part in _existing(path, layout).values():
                raise DataError(
                    f'{path}: it holds {part.name}, which is read with split = "folders"'
                )
        return path

    def _existing_path(self) -> Path:
        if not self.path.exists():
            raise MissingDataError(f"{self.path} does not exist")
        return self.path


def ticket(seed: int, content: bytes) -> bytes:
    """What decides about an example: equal contents draw equal tickets."""
    return hashlib.blake2b(f"{seed}:".encode() + content, digest_size=16).digest()


def lowest(tickets: Sequence[bytes], share: float) -> NDArray[np.bool_]:
    """Whether each ticket is among the lowest ones.

    Arguments:
        tickets: At least two different ones.
        share: Of all tickets that are to be marked, rounded, but neither none nor all. Equal
            tickets are marked together.

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
