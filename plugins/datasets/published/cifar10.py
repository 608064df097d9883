"""CIFAR-10, small photographs in ten classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from oodbench import Images
from plugins.datasets.published.base import Progress, Published
from plugins.datasets.published.batches import read_batch

FOLDER = "cifar-10-batches-py"


class Cifar10(Published):
    """Small photographs in ten classes: 3x32x32, 50,000 in train and 10,000 in test.

    Files: `cifar-10-batches-py/data_batch_1` to `5` and `test_batch`. The files are pickles, read
    by a reader restricted to arrays and plain containers.

    Arguments:
        verify: Accept only the published files: checksums and image counts must match. Without
            verification, a sample in the same format is accepted.

    References:
        | Learning multiple layers of features from tiny images (Krizhevsky, 2009)
        | https://www.cs.toronto.edu/~kriz/cifar.html
    """

    name = "cifar10"
    domain = Images(3, 32, 32)
    counts: ClassVar = {"train": 50_000, "test": 10_000}
    home = "https://www.cs.toronto.edu/~kriz/cifar.html"
    licence = "none stated; to be cited"
    files: ClassVar = {
        "train": tuple((f"{FOLDER}/data_batch_{number}",) for number in range(1, 6)),
        "test": ((f"{FOLDER}/test_batch",),),
    }
    md5: ClassVar = {
        f"{FOLDER}/data_batch_1": "c99cafc152244af753f735de768cd75f",
        f"{FOLDER}/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        f"{FOLDER}/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        f"{FOLDER}/data_batch_4": "634d18415352ddfa80567beed471001a",
        f"{FOLDER}/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        f"{FOLDER}/test_batch": "40351d587109b95175f43aff81a1287e",
    }

    def _read(self, split: str, paths: Sequence[Path]) -> NDArray[np.uint8]:
        return np.concatenate([read_batch(file, self.domain) for file in paths])

    def _download(self, root: Path, progress: Progress) -> None:
        from torchvision.datasets import CIFAR10
        from torchvision.datasets.utils import download_and_extract_archive

        # CIFAR10(download=True) would unpickle the downloaded files.
        progress(f"cifar10: {CIFAR10.filename}")
        download_and_extract_archive(
            CIFAR10.url, str(root), filename=CIFAR10.filename, md5=CIFAR10.tgz_md5
        )
