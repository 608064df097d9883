"""MNIST, and data sets in the same form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from oodbench import Images
from plugins.datasets.arrays import as_examples
from plugins.datasets.idx import read_idx
from plugins.datasets.published.base import Progress, Published

NAMES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}


class Idx(Published):
    """Data set in MNIST's form: idx files in a folder named like torchvision's class.

    Attributes:
        torchvision_name: Name of the class in torchvision.
        gz_md5: Checksums for the compressed train and test files.
    """

    domain = Images(1, 28, 28)
    counts: ClassVar = {"train": 60_000, "test": 10_000}
    torchvision_name: ClassVar[str]
    gz_md5: ClassVar[tuple[str, str]]

    def __init_subclass__(cls) -> None:
        folder = f"{cls.torchvision_name}/raw"
        paths = {split: f"{folder}/{name}" for split, name in NAMES.items()}
        cls.files = {split: ((path, f"{path}.gz"),) for split, path in paths.items()}
        cls.md5 = {f"{paths[split]}.gz": md5 for split, md5 in zip(NAMES, cls.gz_md5, strict=True)}

    def _read(self, split: str, paths: Sequence[Path]) -> NDArray[np.uint8]:
        [file] = paths
        return as_examples(read_idx(file), self.domain, str(file))

    def _download(self, root: Path, progress: Progress) -> None:
        import torchvision.datasets

        progress(f"{self.name}: images and labels of both splits")
        getattr(torchvision.datasets, self.torchvision_name)(str(root), train=True, download=True)


class Mnist(Idx):
    """Handwritten digits: 1x28x28, 60,000 in train and 10,000 in test, light on black.

    Files: `MNIST/raw/train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, or with `.gz`.
    torchvision publishes checksums for the compressed files only.

    Arguments:
        verify: Accept only the published files: checksums and image counts must match. Without
            verification, a sample in the same format is accepted.

    References:
        | Gradient-based learning applied to document recognition (LeCun et al., 1998)
        | http://yann.lecun.com/exdb/mnist/
    """

    name = "mnist"
    home = "http://yann.lecun.com/exdb/mnist/"
    licence = "CC BY-SA 3.0"
    torchvision_name = "MNIST"
    gz_md5 = ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "9fb629c4189551a2d022fa330f9573f3")


class FashionMnist(Idx):
    """Zalando's clothes: 1x28x28, 60,000 in train and 10,000 in test, light on black.

    Files: `FashionMNIST/raw/train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, or with
    `.gz`. torchvision publishes checksums for the compressed files only.

    Arguments:
        verify: Accept only the published files: checksums and image counts must match. Without
            verification, a sample in the same format is accepted.

    References:
        | Fashion-MNIST: a novel image dataset for benchmarking (Xiao, Rasul & Vollgraf, 2017)
        | https://arxiv.org/abs/1708.07747
    """

    name = "fashion-mnist"
    home = "https://github.com/zalandoresearch/fashion-mnist"
    licence = "MIT"
    torchvision_name = "FashionMNIST"
    gz_md5 = ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "bef4ecab320f06d8554ea6380940ec79")


class Kmnist(Idx):
    """Cursive Japanese characters: 1x28x28, 60,000 in train and 10,000 in test, light on black.

    Files: `KMNIST/raw/train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, or with
    `.gz`. torchvision publishes checksums for the compressed files only.

    Arguments:
        verify: Accept only the published files: checksums and image counts must match. Without
            verification, a sample in the same format is accepted.

    References:
        | Deep learning for classical Japanese literature (Clanuwat et al., 2018)
        | https://arxiv.org/abs/1812.01718
    """

    name = "kmnist"
    home = "http://codh.rois.ac.jp/kmnist/"
    licence = "CC BY-SA 4.0"
    torchvision_name = "KMNIST"
    gz_md5 = ("bdb82020997e1d708af4cf47b453dcf7", "5c965bf0a639b31b8f53240b1b52f4d7")
