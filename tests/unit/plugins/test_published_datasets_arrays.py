"""The paper's data sets that are published as arrays: exact pixels, from their true formats."""

from __future__ import annotations

import io
import os
import pickle
import re
import tempfile

import numpy as np
import PIL.Image
import pytest

from oodbench import DataError
from plugins.datasets.published.cifar10 import Cifar10
from plugins.datasets.published.imagenet32 import Imagenet32
from plugins.datasets.published.mnist import FashionMnist, Kmnist, Mnist
from plugins.datasets.published.svhn import Svhn
from tests.unit.plugins.published_files import (
    pixels,
    smooth,
    write_cifar10,
    write_idx,
    write_imagenet32,
    write_svhn,
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    return tmp_path / "raw"


def refused(dataset, message, split="train"):
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        dataset.load(split)


def same(dataset, arrays):
    for split, array in arrays.items():
        found = dataset.load(split)
        assert found.dtype == np.uint8
        assert np.array_equal(found, array)


@pytest.mark.parametrize(
    ("build", "folder"), [(Mnist, "MNIST"), (FashionMnist, "FashionMNIST"), (Kmnist, "KMNIST")]
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx(root, build, folder, suffix):
    same(build(verify=False), write_idx(root, folder, suffix))


def test_idx_unpacked_comes_before_compressed(root):
    arrays = write_idx(root, "MNIST")
    for file in list((root / "MNIST/raw").iterdir()):
        file.with_name(f"{file.name}.gz").write_bytes(b"not a compressed file")
    same(Mnist(verify=False), arrays)


def test_idx_damaged(root):
    write_idx(root, "MNIST")
    file = root / "MNIST/raw/train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    refused(
        Mnist(verify=False),
        f"{file}: the header declares 10 x 28 x 28 images, 7840 bytes, but the file has 7839",
    )


def test_idx_of_another_size(root):
    write_idx(root, "MNIST")
    file = root / "MNIST/raw/train-images-idx3-ubyte"
    file.write_bytes(bytes.fromhex("00000803 00000001 00000002 00000003") + bytes(6))
    message = f"{file}: the shape is (1, 2, 3), not (N, 28, 28), (N, 1, 28, 28) or (N, 28, 28, 1)"
    refused(Mnist(verify=False), message)


def test_svhn(root):
    same(Svhn(verify=False), write_svhn(root))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": pixels(3, 1)}, "array 'X' not found"),
        (
            {"X": pixels(2, 3, 32, 32)},
            "'X' should be uint8 with shape (32, 32, 3, N), not uint8 with shape (2, 3, 32, 32)",
        ),
        (
            {"X": pixels(32, 32, 3, 2) / 255},
            "cannot be read as a MATLAB file (the array has class 6, not unsigned bytes)",
        ),
    ],
)
def test_svhn_of_something_else(root, arrays, message, compressed):
    from scipy.io import savemat

    write_svhn(root)
    file = root / "svhn/train_32x32.mat"
    savemat(file, arrays, do_compression=compressed)
    refused(Svhn(verify=False), f"{file}: {message}")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x89HDF\r\n\x1a\n" * 99])
def test_svhn_no_matlab_file(root, content):
    write_svhn(root)
    file = root / "svhn/train_32x32.mat"
    file.write_bytes(content)
    refused(Svhn(verify=False), f"{file}: not a MATLAB 5 file")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.99])
def test_svhn_truncated(root, share):
    write_svhn(root)
    file = root / "svhn/train_32x32.mat"
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=f"^{re.escape(str(file))}: "):
        Svhn(verify=False).load("train")


def test_svhn_is_contiguous(root):
    write_svhn(root)
    assert Svhn(verify=False).load("train").flags.c_contiguous


def test_cifar10(root):
    same(Cifar10(verify=False), write_cifar10(root))


def test_cifar10_written_by_python_3(root):
    arrays = write_cifar10(root)
    file = root / "cifar-10-batches-py/test_batch"
    batch = {b"data": arrays["test"].reshape(4, -1), b"labels": [3, 1, 4, 1]}
    file.write_bytes(pickle.dumps(batch, protocol=2))
    same(Cifar10(verify=False), arrays)


class Malice:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch {self.witness}",)


def test_cifar10_with_code_in_it(root, tmp_path):
    write_cifar10(root)
    file = root / "cifar-10-batches-py/data_batch_3"
    file.write_bytes(pickle.dumps({b"data": Malice(tmp_path / "ran")}, protocol=2))
    system = f"{os.system.__module__}.system"
    refused(
        Cifar10(verify=False),
        f"{file}: cannot be read as a pickle of arrays (reference to {system}, which is not "
        "allowed)",
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({b"labels": [1]}, "array 'data' not found"),
        ({b"data": pixels(0, 3072)}, "the array is empty"),
        (
            {b"data": pixels(2, 3, 32, 32)},
            "'data' should be uint8 with shape (N, 3072), not uint8 with shape (2, 3, 32, 32)",
        ),
        (
            {b"data": np.zeros((2, 3072), np.float32)},
            "'data' should be uint8 with shape (N, 3072), not float32 with shape (2, 3072)",
        ),
    ],
)
def test_cifar10_of_something_else(root, batch, message):
    write_cifar10(root)
    file = root / "cifar-10-batches-py/data_batch_5"
    # Python 3 has no name for empty bytes under protocol 2.
    file.write_bytes(pickle.dumps(batch, protocol=3))
    refused(Cifar10(verify=False), f"{file}: {message}")


@pytest.mark.parametrize("folders", [False, True])
@pytest.mark.parametrize("form", ["npz", "pickle"])
def test_imagenet32(root, form, folders):
    arrays = write_imagenet32(root, form, folders)
    before = sorted(root.rglob("*"))
    same(Imagenet32(verify=False), arrays)
    assert sorted(root.rglob("*")) == before


def test_imagenet32_is_a_read_only_memory_map(root):
    write_imagenet32(root)
    examples = Imagenet32(verify=False).load("train")
    assert isinstance(examples, np.memmap)
    assert not examples.flags.writeable
    assert examples.flags.c_contiguous


def test_imagenet32_is_gathered_beside_the_raw_files(root, monkeypatch):
    arrays = write_imagenet32(root)
    original, folders = tempfile.TemporaryFile, []

    def temporary_file(dir=None):
        folders.append(dir)
        if dir is not None:
            raise PermissionError("read-only")
        return original()

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary_file)
    same(Imagenet32(verify=False), arrays)
    assert folders == [root / "imagenet32", None] * 2


def test_imagenet32_on_a_full_disk(root, monkeypatch):
    write_imagenet32(root)

    def temporary_file(dir=None):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary_file)
    refused(
        Imagenet32(verify=False),
        f"{root / 'imagenet32'}: cannot collect the images in a temporary file (No space left "
        "on device)",
    )


def test_imagenet32_in_two_forms(root):
    write_imagenet32(root)
    file = root / "imagenet32/train_data_batch_4"
    file.with_suffix(".npz").unlink()
    file.write_bytes(pickle.dumps({"data": pixels(1, 3072)}, protocol=3))
    first = root / "imagenet32/train_data_batch_1.npz"
    refused(Imagenet32(verify=False), f"{file}: format or folder differs from {first}")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("form", ["npz", "pickle"])
def test_imagenet32_truncated(root, form, share):
    write_imagenet32(root, form)
    file = root / f"imagenet32/val_data{'.npz' if form == 'npz' else ''}"
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=f"^{re.escape(str(file))}: (cannot be read as a|not an)"):
        Imagenet32(verify=False).load("test")


def test_imagenet32_npz_with_a_pickle_in_it(root, tmp_path):
    write_imagenet32(root)
    file = root / "imagenet32/val_data.npz"
    np.savez(file, data=np.array([Malice(tmp_path / "ran")], object))
    with pytest.raises(DataError, match="array 'data' cannot be read .Object arrays"):
        Imagenet32(verify=False).load("test")
    assert not (tmp_path / "ran").exists()


def test_imagenet32_npz_that_is_a_pickle(root, tmp_path):
    write_imagenet32(root)
    file = root / "imagenet32/val_data.npz"
    file.write_bytes(pickle.dumps(Malice(tmp_path / "ran")))
    with pytest.raises(DataError, match="not an .npz file"):
        Imagenet32(verify=False).load("test")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("form", ["npz", "pickle"])
def test_imagenet32_through_jpeg(root, form):
    arrays = write_imagenet32(root, form)
    photo = smooth(32, 32, 3, 5)
    data = photo.transpose(2, 0, 1).reshape(1, -1)
    file = root / "imagenet32/val_data"
    if form == "npz":
        np.savez(file.with_suffix(".npz"), data=data)
    else:
        file.write_bytes(pickle.dumps({"data": data}, protocol=3))
    buffer = io.BytesIO()
    PIL.Image.fromarray(photo).save(buffer, format="JPEG")
    expected = np.asarray(PIL.Image.open(buffer)).transpose(2, 0, 1)
    found = Imagenet32(verify=False, jpeg=True).load("test")[0]
    assert np.array_equal(found, expected)
    difference = np.abs(found.astype(int) - data.reshape(3, 32, 32))
    assert 0 < difference.mean() < 12
    lossy = Imagenet32(verify=False, jpeg=True).load("train")
    assert lossy.shape == arrays["train"].shape
    assert not np.array_equal(lossy, arrays["train"])
