"""Street View House Numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from oodbench import DataError, Images
from plugins.datasets.published.base import Progress, Published
from plugins.datasets.published.matlab import read_mat_array


class Svhn(Published):
    """House numbers cut from street views: 3x32x32, 73,257 in train and 26,032 in test.

    The data set uses the cropped digits ("format 2"), without the 531,131 extra images. Files:
    `svhn/train_32x32.mat` and `svhn/test_32x32.mat` (torchvision leaves the folder to the user).

    Arguments:
        verify: Accept only the published files: checksums and image counts must match. Without
            verification, a sample in the same format is accepted.

    References:
        | Reading digits in natural images with unsupervised feature learning (Netzer et al., 2011)
        | http://ufldl.stanford.edu/housenumbers/
    """

    name = "svhn"
    domain = Images(3, 32, 32)
    counts: ClassVar = {"train": 73_257, "test": 26_032}
    home = "http://ufldl.stanford.edu/housenumbers/"
    licence = "non-commercial use only"
    files: ClassVar = {
        "train": (("svhn/train_32x32.mat",),),
        "test": (("svhn/test_32x32.mat",),),
    }
    md5: ClassVar = {
        "svhn/train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "svhn/test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    }

    def _read(self, split: str, paths: Sequence[Path]) -> NDArray[np.uint8]:
        [file] = paths
        return read_mat(file, self.domain)

    def _download(self, root: Path, progress: Progress) -> None:
        import torchvision.datasets

        for split in self.splits:
            progress(f"svhn: {split}_32x32.mat")
            torchvision.datasets.SVHN(str(root / "svhn"), split=split, download=True)


def read_mat(file: Path, domain: Images) -> NDArray[np.uint8]:
    """Read the array `X`, stored as (height, width, channels, N), from a MATLAB 5 file.

    Returns:
        uint8, (N, *domain.shape).

    Raises:
        DataError: The file cannot be read, or `X` has another type or shape.
    """
    array, (channels, height, width) = read_mat_array(file, "X"), domain.shape
    if array.shape[:-1] != (height, width, channels):
        raise DataError(
            f"{file}: 'X' should be uint8 with shape ({height}, {width}, {channels}, N), not "
            f"{array.dtype} with shape {array.shape}"
        )
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1))
