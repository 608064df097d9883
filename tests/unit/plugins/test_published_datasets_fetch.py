"""Downloading the paper's data sets: what torchvision is asked for, what users are told."""

from __future__ import annotations

import re
from urllib.error import URLError

import pytest

from oodbench import MissingDataError
from plugins.datasets.published.celeba import CelebA
from plugins.datasets.published.cifar10 import Cifar10
from plugins.datasets.published.gtsrb import Gtsrb
from plugins.datasets.published.imagenet32 import Imagenet32
from plugins.datasets.published.mnist import FashionMnist, Kmnist, Mnist
from plugins.datasets.published.omniglot import Omniglot
from plugins.datasets.published.svhn import Svhn
from tests.unit.plugins.published_files import write_celeba, write_imagenet32


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    return tmp_path / "raw"


def missing(call, message):
    with pytest.raises(MissingDataError, match=f"^{re.escape(message)}$"):
        call()


class Calls:
    """Remembers calls, makes no other."""

    def __init__(self, error=None):
        self.made = []
        self.error = error

    def __call__(self, *arguments, **options):
        self.made.append((arguments, options))
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("dataset", "source", "calls"),
    [
        (Mnist, "MNIST", [(("{root}",), {"train": True, "download": True})]),
        (FashionMnist, "FashionMNIST", [(("{root}",), {"train": True, "download": True})]),
        (Kmnist, "KMNIST", [(("{root}",), {"train": True, "download": True})]),
        (
            Svhn,
            "SVHN",
            [(("{root}/svhn",), {"split": s, "download": True}) for s in ("train", "test")],
        ),
        (
            Gtsrb,
            "GTSRB",
            [(("{root}",), {"split": s, "download": True}) for s in ("train", "test")],
        ),
        (
            Omniglot,
            "Omniglot",
            [(("{root}",), {"background": b, "download": True}) for b in (True, False)],
        ),
    ],
)
def test_fetch_asks_torchvision(root, dataset, source, calls, monkeypatch):
    import torchvision.datasets

    made = Calls()
    original = getattr(torchvision.datasets, source)
    monkeypatch.setattr(torchvision.datasets, source, made)
    said = []
    dataset().fetch(said.append)
    expected = [((place.format(root=root),), options) for (place,), options in calls]
    assert made.made == expected
    assert root.is_dir()
    assert len(said) == len(calls)
    assert all(line.startswith(f"{dataset.name}: ") for line in said)
    # The arguments are those of the class, and it is told to look where we read.
    with pytest.raises(RuntimeError, match="not found"):
        original(*expected[0][0], **{**expected[0][1], "download": False})


def test_fetch_cifar10_unpickles_nothing(root, monkeypatch):
    import torchvision.datasets
    import torchvision.datasets.utils

    made = Calls()
    monkeypatch.setattr(torchvision.datasets.utils, "download_and_extract_archive", made)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "__init__", Calls(AssertionError("called")))
    Cifar10().fetch([].append)
    assert made.made == [
        (
            ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", str(root)),
            {
                "filename": "cifar-10-python.tar.gz",
                "md5": "c58f30108f718f92721af3b95e74349a",
            },
        )
    ]


def test_fetch_celeba_gets_two_files(root, monkeypatch):
    import torchvision.datasets.utils

    made = Calls()
    monkeypatch.setattr(torchvision.datasets.utils, "download_file_from_google_drive", made)
    said = []
    CelebA().fetch(said.append)
    folder = str(root / "celeba")
    assert [arguments[1:] for arguments, _ in made.made] == [
        (folder, "img_align_celeba.zip", "00d2c5bc6d35e252742224ab0c1e8fcb"),
        (folder, "list_eval_partition.txt", "d32c9cbf5e040fd4025c592c306e6668"),
    ]
    assert said == ["celeba: img_align_celeba.zip", "celeba: list_eval_partition.txt"]


def test_fetch_leaves_what_is_there(root):
    write_celeba(root)
    write_imagenet32(root)
    said = []
    CelebA().fetch(said.append)
    Imagenet32().fetch(said.append)
    assert said == ["celeba: the files already exist", "imagenet32: the files already exist"]


def test_fetch_imagenet32_says_what_to_do(root):
    with pytest.raises(MissingDataError, match="automatic download is not possible: register"):
        Imagenet32().fetch([].append)


def test_fetch_without_network(root, monkeypatch):
    import torchvision.datasets
    import torchvision.datasets.utils

    for source in ("MNIST", "GTSRB"):
        failing = Calls(URLError("Name or service not known"))
        monkeypatch.setattr(torchvision.datasets, source, failing)
    reason = "could not be downloaded (<urlopen error Name or service not known>); by hand:"
    missing(
        lambda: Mnist().fetch([].append),
        f"mnist {reason} get MNIST/raw/train-images-idx3-ubyte, MNIST/raw/t10k-images-idx3-ubyte "
        f"from http://yann.lecun.com/exdb/mnist/ and store them in {root}",
    )
    missing(
        lambda: Gtsrb().fetch([].append),
        f"gtsrb {reason} unpack GTSRB-Training_fixed.zip, GTSRB_Final_Test_Images.zip and "
        "GTSRB_Final_Test_GT.zip, found through https://benchmark.ini.rub.de/, in "
        f"{root / 'gtsrb'}",
    )
    refusing = Calls(RuntimeError("'gdown' is required"))
    monkeypatch.setattr(torchvision.datasets.utils, "download_file_from_google_drive", refusing)
    missing(
        lambda: CelebA().fetch([].append),
        "celeba could not be downloaded ('gdown' is required); by hand: get img_align_celeba.zip "
        "(aligned and cropped images) and list_eval_partition.txt from the Google Drive or Baidu "
        "folder of https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and put both in "
        f"{root / 'celeba'}",
    )
