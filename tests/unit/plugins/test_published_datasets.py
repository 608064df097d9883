"""What the paper's data sets have in common: facts, files, stamps, verification."""

from __future__ import annotations

import os
import re
import shutil
import time
from importlib import import_module

import numpy as np
import pytest

from harness.errors import FolderError
from harness.registry.options import describe_options
from harness.settings import default_data
from oodbench import DataError, Dataset, HasStamp, Images, MissingDataError, raw_root
from oodbench.testing import assert_conforms, check_dataset
from plugins.datasets import bench_datasets
from tests.unit.plugins.published_files import (
    WRITERS,
    write_celeba,
    write_idx,
    write_omniglot,
)

GRAY, COLOUR = Images(1, 28, 28), Images(3, 32, 32)
OFFICIAL = {
    "mnist": (GRAY, 60_000, 10_000),
    "fashion-mnist": (GRAY, 60_000, 10_000),
    "kmnist": (GRAY, 60_000, 10_000),
    "omniglot": (GRAY, 19_280, 13_180),
    "svhn": (COLOUR, 73_257, 26_032),
    "celeba": (COLOUR, 162_770, 19_962),
    "cifar10": (COLOUR, 50_000, 10_000),
    "gtsrb": (COLOUR, 26_640, 12_630),
    "imagenet32": (COLOUR, 1_281_167, 50_000),
}
NAMES = list(OFFICIAL)


def published():
    """The classes, by the name of the plugin."""
    found = {}
    for entry in bench_datasets():
        module, _, attribute = entry.target.partition(":")
        if module.startswith("plugins.datasets.published."):
            found[entry.name] = getattr(import_module(module), attribute)
    return found


SETS = published()


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    return tmp_path / "raw"


def missing(call, message):
    with pytest.raises(MissingDataError, match=f"^{re.escape(message)}$"):
        call()


# Facts


def test_they_are_registered_under_their_names():
    assert list(SETS) == NAMES
    assert {name: dataset.name for name, dataset in SETS.items()} == {n: n for n in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_official_numbers(name):
    domain, train, test = OFFICIAL[name]
    dataset = SETS[name]()
    assert dataset.domain == domain
    assert dataset.splits == ("train", "test")
    assert dataset.counts == {"train": train, "test": test}
    assert isinstance(dataset, Dataset)
    assert isinstance(dataset, HasStamp)


@pytest.mark.parametrize("name", NAMES)
def test_home_and_licence(name):
    assert re.match(r"https?://\S+$", SETS[name].home)
    assert SETS[name].licence


def test_options():
    options = {
        name: {option.name: option.default for option in describe_options(dataset)}
        for name, dataset in SETS.items()
    }
    expected = {name: {"verify": True} for name in NAMES}
    expected["omniglot"]["invert"] = False
    expected["celeba"] |= {"crop": "centre-148", "partition": "official"}
    expected["imagenet32"]["jpeg"] = False
    assert options == expected
    for dataset in SETS.values():
        for option in describe_options(dataset):
            assert option.meaning, option.name


def test_checksums_are_those_of_torchvision():
    from torchvision import datasets

    known = {}
    for source in (datasets.MNIST, datasets.FashionMNIST, datasets.KMNIST):
        known |= {f"{source.__name__}/raw/{file}": md5 for file, md5 in source.resources}
    cifar = datasets.CIFAR10
    known |= {f"{cifar.base_folder}/{f}": m for f, m in cifar.train_list + cifar.test_list}
    known |= {f"svhn/{file}": md5 for _, file, md5 in datasets.SVHN.split_list.values()}
    known |= {f"celeba/{file}": md5 for _, md5, file in datasets.CelebA.file_list}
    known |= {f"omniglot-py/{f}.zip": m for f, m in datasets.Omniglot.zips_md5.items()}
    for dataset in SETS.values():
        read = [name for items in dataset.files.values() for item in items for name in item]
        assert dataset.md5 == {name: known[name] for name in dict.fromkeys(read) if name in known}


# Files


def test_raw_root(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    assert raw_root() == tmp_path / "raw" == default_data() / "raw"
    for value in ("", None):
        if value is None:
            monkeypatch.delenv("BENCH_DATA")
        else:
            monkeypatch.setenv("BENCH_DATA", value)
        assert raw_root() == default_data() / "raw"
        assert raw_root().is_absolute()


def test_the_data_folder_of_a_user_without_a_home(monkeypatch):
    """As in a container that is run with a number for a user."""

    def unknown(user):
        raise KeyError(user)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("BENCH_DATA", "HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(FolderError, match="name one with --data or \\$BENCH_DATA"):
        default_data()
    monkeypatch.setenv("HOME", "/home/user")
    assert default_data().is_absolute()


@pytest.mark.parametrize("name", NAMES)
def test_conforms(root, name):
    WRITERS[name](root)
    assert_conforms(check_dataset(lambda: SETS[name](verify=False)))


def as_torchvision_reads(name, root, split):
    """Every example, (C, H, W), by torchvision's own reader."""
    from torchvision import datasets
    from torchvision.transforms import CenterCrop, Compose, Resize

    is_train = split == "train"
    build = {
        "mnist": lambda: datasets.MNIST(root, train=is_train),
        "fashion-mnist": lambda: datasets.FashionMNIST(root, train=is_train),
        "kmnist": lambda: datasets.KMNIST(root, train=is_train),
        "omniglot": lambda: datasets.Omniglot(root, is_train, transform=Resize((28, 28))),
        "svhn": lambda: datasets.SVHN(root / "svhn", split),
        "celeba": lambda: datasets.CelebA(
            root, split, transform=Compose([CenterCrop(148), Resize(32)])
        ),
        "cifar10": lambda: datasets.CIFAR10(root, train=is_train),
        "gtsrb": lambda: datasets.GTSRB(root, split, transform=Resize((32, 32))),
    }
    pictures = [np.asarray(picture) for picture, _ in build[name]()]
    return [x[np.newaxis] if x.ndim == 2 else x.transpose(2, 0, 1) for x in pictures]


def complete_for_torchvision(name, root):
    """Files that torchvision wants and we do not read."""
    if name == "celeba":
        lines = ["6", "a b", *(f"{n:06}.jpg 1 1" for n in range(1, 7))]
        for attribute in ("attr", "bbox", "landmarks_align"):
            (root / f"celeba/list_{attribute}_celeba.txt").write_text("\n".join(lines))
        (root / "celeba/identity_CelebA.txt").write_text("\n".join(lines[2:]))
    if name == "omniglot":
        for part in ("images_background", "images_evaluation"):
            shutil.unpack_archive(root / f"omniglot-py/{part}.zip", root / "omniglot-py")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "imagenet32"])
def test_torchvision_reads_the_same(root, name, monkeypatch):
    """So the files are where, and what, torchvision wants them to be."""
    from torchvision.datasets import celeba, cifar, omniglot, svhn

    write_idx(root, "KMNIST") if name == "kmnist" else WRITERS[name](root)
    complete_for_torchvision(name, root)
    for module in (celeba, cifar, omniglot, svhn):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: True)
    for split in ("train", "test"):
        theirs = as_torchvision_reads(name, root, split)
        ours = list(SETS[name](verify=False).load(split))
        assert len(ours) == len(theirs)
        if name == "omniglot":  # torchvision lists it in the order of the disk
            ours.sort(key=np.ndarray.tobytes)
            theirs.sort(key=np.ndarray.tobytes)
        assert all(map(np.array_equal, ours, theirs))


@pytest.mark.parametrize(
    ("name", "files", "how"),
    [
        (
            "mnist",
            "MNIST/raw/train-images-idx3-ubyte, MNIST/raw/t10k-images-idx3-ubyte",
            "`bench data fetch mnist` downloads it",
        ),
        (
            "svhn",
            "svhn/train_32x32.mat, svhn/test_32x32.mat",
            "`bench data fetch svhn` downloads it",
        ),
        (
            "gtsrb",
            "gtsrb/GTSRB/Training, gtsrb/GTSRB/Final_Test/Images, gtsrb/GT-final_test.csv",
            "`bench data fetch gtsrb` downloads it",
        ),
        (
            "omniglot",
            "omniglot-py/images_background.zip, omniglot-py/images_evaluation.zip",
            "`bench data fetch omniglot` downloads it",
        ),
        (
            "celeba",
            "celeba/img_align_celeba.zip, celeba/list_eval_partition.txt",
            "`bench data fetch celeba` tries Google Drive (it needs gdown and often refuses); by "
            "hand: get img_align_celeba.zip (aligned and cropped images) and "
            "list_eval_partition.txt from the Google Drive or Baidu folder of "
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html and put both in {root}/celeba",
        ),
        (
            "imagenet32",
            ", ".join(f"imagenet32/train_data_batch_{n}.npz" for n in range(1, 11))
            + ", imagenet32/val_data.npz",
            "automatic download is not possible: register at https://image-net.org, get "
            "Imagenet32_train_npz.zip and Imagenet32_val_npz.zip (or Imagenet32_train.zip and "
            "Imagenet32_val.zip, the same as pickles) from "
            "https://image-net.org/download-images.php and unpack them in {root}/imagenet32",
        ),
    ],
)
def test_missing(root, name, files, how):
    message = f"{files} not found in {root}; {how.format(root=root)}"
    missing(SETS[name]().stamp, message)


def test_one_file_missing(root):
    WRITERS["cifar10"](root)
    dataset = SETS["cifar10"](verify=False)
    (root / "cifar-10-batches-py/data_batch_3").unlink()
    message = (
        f"cifar-10-batches-py/data_batch_3 not found in {root}; "
        "`bench data fetch cifar10` downloads it"
    )
    missing(dataset.stamp, message)
    missing(lambda: dataset.load("train"), message)
    assert len(dataset.load("test")) == 4


@pytest.mark.parametrize("name", NAMES)
def test_stamp(root, name, tmp_path, monkeypatch):
    WRITERS[name](root)
    dataset = SETS[name]()
    first = dataset.stamp()
    assert first == dataset.stamp() == SETS[name](verify=False).stamp()
    # Elsewhere the same files have the same stamp: no path is in it.
    shutil.copytree(root, tmp_path / "elsewhere/raw")
    paths = [
        next(root / part for part in item if (root / part).exists())
        for split in dataset.splits
        for item in dataset.files[split]
    ]
    with monkeypatch.context() as context:
        context.setenv("BENCH_DATA", str(tmp_path / "elsewhere"))
        assert dataset.stamp() == first
    for path in paths:
        before = dataset.stamp()
        file = path if path.is_file() else next(path.rglob("*.*"))
        with file.open("ab") as stream:
            stream.write(b"x")
        assert dataset.stamp() != before, path


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("celeba", "celeba/img_align_celeba/000003.jpg"),
        ("gtsrb", "gtsrb/GTSRB/Training/00042/00000_00001.ppm"),
        ("gtsrb", "gtsrb/GTSRB/Final_Test/Images/00001.ppm"),
        ("omniglot", "omniglot-py/images_background/Greek/character01/0704_01.png"),
    ],
)
@pytest.mark.parametrize("most", ["HASHED_BYTES", "HASHED_FILES", None])
def test_stamp_of_pictures(root, name, picture, most, monkeypatch):
    if most is not None:  # too large, or too many, to be read for a stamp
        monkeypatch.setattr(f"plugins.datasets._common.{most}", 0)
    if name == "omniglot":
        write_omniglot(root, packed=False)
    else:
        WRITERS[name](root)
    file = root / picture
    stamps, state = [SETS[name]().stamp()], file.stat()
    assert SETS[name]().stamp() == stamps[0]
    time.sleep(0.05)  # times of files advance in steps of some milliseconds
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    stamps.append(SETS[name]().stamp())
    file.rename(file.with_stem("renamed"))
    stamps.append(SETS[name]().stamp())
    file.with_stem("renamed").unlink()
    stamps.append(SETS[name]().stamp())
    assert len(set(stamps)) == 4


# Verification


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("celeba", "omniglot")])
def test_another_number_of_images(root, name, monkeypatch):
    WRITERS[name](root)
    dataset = SETS[name]()
    monkeypatch.setattr(SETS[name], "md5", {})
    found = len(SETS[name](verify=False).load("train"))
    message = (
        f"{name}: the train split has {found} images, the published split "
        f"{dataset.counts['train']}; to accept a sample, set verify = false"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        dataset.load("train")
    monkeypatch.setattr(SETS[name], "counts", {"train": found})
    assert len(dataset.load("train")) == found


@pytest.mark.parametrize("name", ["kmnist", "omniglot", "svhn", "celeba", "cifar10"])
def test_another_checksum(root, name):
    if name == "celeba":
        write_celeba(root, packed=True)
    else:
        WRITERS[name](root)
    with pytest.raises(DataError, match=": the md5 is [0-9a-f]{32}, the published file has"):
        SETS[name]().load("test")


def test_checksum_message_and_a_file_that_has_it(root, monkeypatch):
    WRITERS["svhn"](root)
    file = root / "svhn/test_32x32.mat"
    file.write_bytes(b"hello")
    svhn = SETS["svhn"]
    message = (
        f"{file}: the md5 is 5d41402abc4b2a76b9719d911017c592, the published file has "
        "eb5a983be6a315427106f1b164d9cef3; delete the file and download again, or set verify = "
        "false to skip the check"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        svhn().load("test")
    monkeypatch.setattr(svhn, "md5", {"svhn/test_32x32.mat": "5d41402abc4b2a76b9719d911017c592"})
    with pytest.raises(DataError, match="not a MATLAB 5 file"):
        svhn().load("test")
