"""Images in memory: arrays, tensors, files of arrays and loaders, as data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, RandomSampler

from harness.contracts import Dataset
from harness.data.folder import fingerprint, read_split
from harness.domain import Domain, Examples, Images, image_hint
from harness.errors import DataError
from harness.registry.registered import ObjectEntry, object_entry
from harness.store.hashing import digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMS = (
    "an array or tensor, a .npy file, a DataLoader, a pair of these (train, test), a Dataset, or "
    "the name of a data set"
)


class ArrayDataset:
    """Examples in memory as a data set.

    Arguments:
        domain: Domain of the examples.
        arrays: `domain.dtype`, (N, *domain.shape), by split.
    """

    def __init__(self, domain: Domain, arrays: Mapping[str, Examples]) -> None:
        self.domain, self._arrays = domain, arrays

    @property
    def splits(self) -> tuple[str, ...]:
        """The given splits."""
        return tuple(self._arrays)

    def load(self, split: str) -> Examples:
        """Return the examples of a split."""
        return self._arrays[split]

    def notes(self) -> Sequence[str]:
        """Say that no suite names the examples."""
        return ["given in memory, so a suite alone cannot reproduce the results"]


def dataset_entry(name: str, plugin: str, given: Any) -> ObjectEntry:
    """Create the entry of a data set in memory; its content is that of the images.

    Arguments:
        name: Name in messages.
        plugin: Name of the entry.
        given: As in `FORMS`; images without a split are the test split.

    Raises:
        DataError: The images are not uint8, (N, channels, height, width), or there are none.
    """
    made = _given_dataset(name, given)
    prints = {split: fingerprint(made.load(split)) for split in made.splits}
    content = digest([{**vars(made.domain)}, prints])
    form = type(given).__name__ if isinstance(given, Dataset) else "images"
    return object_entry("datasets", plugin, form, content, lambda: made)


def _given_dataset(name: str, given: Any) -> ArrayDataset:
    if isinstance(given, Dataset):
        arrays = {split: read_split(name, given, split) for split in given.splits}
        return ArrayDataset(given.domain, arrays)
    if isinstance(given, tuple):
        if len(given) != 2:
            raise DataError(f"{name}: a pair (train, test) is expected, not {len(given)} values")
        arrays = {
            split: as_images(part, f"{name}, {split}")
            for split, part in zip(("train", "test"), given, strict=True)
        }
    else:
        arrays = {"test": as_images(given, name)}
    first, *others = arrays.values()
    for other in others:
        if other.shape[1:] != first.shape[1:]:
            raise DataError(
                f"{name}: train images have the shape {first.shape[1:]}, and test images have "
                f"the shape {other.shape[1:]}"
            )
    return ArrayDataset(Images(*first.shape[1:]), arrays)


def as_images(given: Any, what: str) -> NDArray[np.uint8]:
    """Return images as an array: uint8, (N, channels, height, width), N at least 1.

    Arguments:
        given: An array, a tensor, the name of a .npy file, or a DataLoader.
        what: Name of the images in messages.

    Raises:
        DataError: The images have another type or shape, or there are none.
    """
    if isinstance(given, str | Path):
        given = _read(Path(given), what)
    elif isinstance(given, DataLoader):
        given = _loaded(given, what)
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu().numpy()
    if not isinstance(given, np.ndarray):
        raise DataError(f"{what}: expected {FORMS}, not {type(given).__name__}")
    if given.dtype != np.uint8:
        raise DataError(f"{what}: images must be uint8, not {given.dtype}{image_hint(given)}")
    is_last = given.ndim == 4 and given.shape[1] > 4 and given.shape[3] <= 4
    if given.ndim != 4 or is_last or not all(given.shape[1:]):
        raise DataError(
            f"{what}: the shape must be (N, channels, height, width), not "
            f"{given.shape}{image_hint(given)}"
        )
    if not len(given):
        raise DataError(f"{what}: there are no images")
    return given


def _read(path: Path, what: str) -> Any:
    if path.suffix != ".npy":
        raise DataError(f"{what}: {path} is not a .npy file; expected {FORMS}")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DataError(f"{what}: {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise DataError(f"{what}: {path} is not an array of NumPy: {error}") from error


def _loaded(loader: DataLoader[Any], what: str) -> torch.Tensor:
    """Return all images of a loader; numbers k / 255, as torchvision gives them, become k."""
    if isinstance(loader.sampler, RandomSampler):
        raise DataError(f"{what}: the DataLoader shuffles, so its examples would have no number")
    pieces = list(_batches(loader, what))
    if not pieces:
        raise DataError(f"{what}: the DataLoader is empty")
    return torch.cat(pieces)


def _batches(loader: DataLoader[Any], what: str) -> Iterator[torch.Tensor]:
    for batch in loader:
        images = batch[0] if isinstance(batch, list | tuple) else batch
        if not isinstance(images, torch.Tensor):
            raise DataError(f"{what}: the DataLoader gives {type(images).__name__}, not a tensor")
        if images.is_floating_point():
            levels = (images * 255).round().clamp(0, 255)
            if not torch.equal((levels / 255).to(images.dtype), images):
                raise DataError(
                    f"{what}: the DataLoader gives numbers that are no multiples of 1/255 from 0 "
                    "to 1: leave out normalisation, which belongs to the model"
                )
            images = levels.to(torch.uint8)
        yield images
