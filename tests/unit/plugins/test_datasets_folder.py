"""Images of the user's own."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import struct
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.registry.options import constructor_arguments, validate_options
from oodbench import DataError, HasStamp, Images, MissingDataError
from oodbench.testing import assert_conforms, check_dataset
from plugins.datasets._common import luma
from plugins.datasets.folder import Folder, lowest, ticket

RNG = np.random.default_rng(0)
GRAYS = RNG.integers(0, 256, (50, 4, 4)).astype(np.uint8)  # (N, H, W)
COLOURS = RNG.integers(0, 256, (50, 4, 4, 3)).astype(np.uint8)  # (N, H, W, C)


def write_pictures(folder: Path, pixels, names=None):
    for index, image in enumerate(pixels):
        file = folder / (names[index] if names else f"{index:03}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(file)


def idx(images) -> bytes:
    return b"\0\0\x08\x03" + struct.pack(">3I", *images.shape) + images.tobytes()


def objects() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


def gray(path, **options):
    return Folder(path=path, size=4, channels=1, **options)


def refused(dataset, message, split="train", error=DataError):
    with pytest.raises(error, match=f"^{re.escape(message)}$") as caught:
        dataset.load(split)
    assert type(caught.value) is error


# Options


def test_options_from_toml(tmp_path):
    options = validate_options(Folder, {"path": str(tmp_path), "size": 4})
    assert options == {
        "path": str(tmp_path),
        "size": 4,
        "channels": 3,
        "split": "folders",
        "test_share": 0.2,
        "seed": 0,
    }
    dataset = Folder(**constructor_arguments(Folder, options, {}))
    assert dataset.domain == Images(3, 4, 4)
    assert isinstance(dataset, HasStamp)


def test_constructing_does_not_look_at_the_path(tmp_path):
    dataset = gray(tmp_path / "later")
    assert dataset.splits == ("train", "test")
    write_pictures(tmp_path / "later" / "train", GRAYS[:2])
    assert dataset.load("train").shape == (2, 1, 4, 4)


def test_relative_paths_and_home(tmp_path, monkeypatch):
    write_pictures(tmp_path / "data" / "test", GRAYS[:2])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (Path("data"), Path("~/data"), tmp_path / "data"):
        assert np.array_equal(gray(path).load("test")[:, 0], GRAYS[:2])


def test_missing(tmp_path):
    for options in ({}, {"split": "seed"}):
        dataset = gray(tmp_path / "no" / "data", **options)
        refused(dataset, f"{tmp_path}/no/data does not exist", error=MissingDataError)
        with pytest.raises(MissingDataError, match=r"/no/data does not exist$"):
            dataset.stamp()
        assert dataset.splits == ("train", "test")


# Pictures in folders


def test_folders_of_pictures(tmp_path):
    # Written in an order that is not theirs, in folders of classes.
    names = ["dog/1.png", "cat/b/2.png", "cat/1.png", "0.png", "cat-like/1.png"]
    write_pictures(tmp_path / "train", COLOURS[:5], names)
    write_pictures(tmp_path / "test", COLOURS[5:7])
    write_pictures(tmp_path / "extra", COLOURS[7:9])
    dataset = Folder(path=tmp_path, size=4)
    train, test = dataset.load("train"), dataset.load("test")
    expected = [COLOURS[3], COLOURS[4], COLOURS[2], COLOURS[1], COLOURS[0]]
    assert np.array_equal(train, np.stack(expected).transpose(0, 3, 1, 2))
    assert np.array_equal(test, COLOURS[5:7].transpose(0, 3, 1, 2))
    assert train.dtype == np.uint8
    assert_conforms(check_dataset(lambda: Folder(path=tmp_path, size=4)))
    as_gray = gray(tmp_path).load("test")
    assert np.array_equal(as_gray[:, 0], luma(COLOURS[5:7]))


def test_one_split_is_enough(tmp_path):
    write_pictures(tmp_path / "test", GRAYS[:3])
    dataset = gray(tmp_path)
    assert dataset.splits == ("test",)
    assert dataset.load("test").shape == (3, 1, 4, 4)
    refused(dataset, f"{tmp_path}: only test found, not train", error=MissingDataError)
    assert_conforms(check_dataset(lambda: gray(tmp_path)))


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    write_pictures(tmp_path / "train", GRAYS[:3])
    (tmp_path / "train" / "001.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=f"^{tmp_path}/train/001.png: cannot be read as a picture"):
        gray(tmp_path).load("train")


def test_folders_without_a_known_layout(tmp_path):
    write_pictures(tmp_path, GRAYS[:2])
    refused(
        gray(tmp_path),
        f"{tmp_path}: train or train.npy or train-images-idx3-ubyte not found; to split a pool of "
        'images use split = "seed"',
    )


def test_two_layouts_in_one_folder(tmp_path):
    write_pictures(tmp_path / "train", GRAYS[:2])
    np.save(tmp_path / "test.npy", GRAYS)
    message = f"{tmp_path}: found train and test.npy; keep only one, because both could be meant"
    refused(gray(tmp_path), message)


def test_an_empty_split(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=f"^{tmp_path}/train: no pictures found; supported"):
        gray(tmp_path).load("train")


# Arrays


@pytest.mark.parametrize("shape", [(50, 4, 4), (50, 1, 4, 4), (50, 4, 4, 1)])
def test_gray_arrays(tmp_path, shape):
    np.save(tmp_path / "train.npy", GRAYS.reshape(shape))
    np.save(tmp_path / "test.npy", GRAYS[:9].reshape(-1, *shape[1:]) ^ 1)
    dataset = gray(tmp_path)
    assert np.array_equal(dataset.load("train"), GRAYS[:, np.newaxis])
    assert np.array_equal(dataset.load("test"), GRAYS[:9, np.newaxis] ^ 1)
    assert isinstance(dataset.load("train"), np.memmap)
    assert not dataset.load("train").flags.writeable
    assert_conforms(check_dataset(lambda: gray(tmp_path)))


def test_colour_arrays(tmp_path):
    first = COLOURS.transpose(0, 3, 1, 2)
    np.savez(tmp_path / "last.npz", train=COLOURS, test=COLOURS[:5] ^ 1, labels=np.zeros(50))
    np.savez_compressed(tmp_path / "first.npz", train=first, test=first[:5] ^ 1)
    for name in ("last.npz", "first.npz"):
        dataset = Folder(path=tmp_path / name, size=4)
        assert np.array_equal(dataset.load("train"), first)
        assert np.array_equal(dataset.load("test"), first[:5] ^ 1)
        assert dataset.splits == ("train", "test")


def test_an_npz_file_with_one_split(tmp_path):
    file = tmp_path / "x.npz"
    np.savez(file, test=GRAYS)
    assert gray(file).splits == ("test",)
    assert gray(file).load("test").shape == (50, 1, 4, 4)
    message = f"{file}: only test found, not train"
    refused(gray(file), message, error=MissingDataError)
    np.savez(file, images=GRAYS, labels=np.zeros(3))
    refused(gray(file), f"{file}: array 'train' or 'test' not found; found: images, labels")
    np.savez(file)
    refused(gray(file), f"{file}: array 'train' or 'test' not found; found: no array")


def test_fortran_order_is_the_same(tmp_path):
    np.save(tmp_path / "train.npy", np.asfortranarray(COLOURS))
    dataset = Folder(path=tmp_path, size=4)
    assert np.array_equal(dataset.load("train"), COLOURS.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("array", "channels", "message"),
    [
        (GRAYS[:, :3], 1, "the shape is (50, 3, 4), not (N, 4, 4), (N, 1, 4, 4) or (N, 4, 4, 1)"),
        (COLOURS, 1, "the shape is (50, 4, 4, 3), not (N, 4, 4), (N, 1, 4, 4) or (N, 4, 4, 1)"),
        (GRAYS, 3, "the shape is (50, 4, 4), not (N, 3, 4, 4) or (N, 4, 4, 3)"),
        (np.uint8(7), 3, "the shape is (), not (N, 3, 4, 4) or (N, 4, 4, 3)"),
        (GRAYS[:0], 1, "the array is empty"),
        (GRAYS / 255, 1, "images must be uint8, not float64"),
        (GRAYS > 127, 1, "images must be uint8, not bool"),
        (np.zeros(3, [("a", "u1")]), 1, "images must be uint8, not [('a', 'u1')]"),
    ],
)
def test_arrays_of_something_else(tmp_path, array, channels, message):
    np.save(tmp_path / "train.npy", array)
    np.savez(tmp_path / "both.npz", train=array)
    dataset = Folder(path=tmp_path, size=4, channels=channels)
    refused(dataset, f"{tmp_path}/train.npy: {message}")
    dataset = Folder(path=tmp_path / "both.npz", size=4, channels=channels)
    refused(dataset, f"{tmp_path}/both.npz: array 'train': {message}")


def test_channels_that_could_be_first_or_last(tmp_path):
    np.save(tmp_path / "train.npy", np.zeros((5, 3, 3, 3), np.uint8))
    message = f"{tmp_path}/train.npy: in shape (5, 3, 3, 3) channels could be first or last"
    refused(Folder(path=tmp_path, size=3), message)


def test_arrays_of_single_gray_pixels_are_not_ambiguous(tmp_path):
    np.save(tmp_path / "train.npy", np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1))
    assert Folder(path=tmp_path, size=1, channels=1).load("train").ravel().tolist() == [*range(5)]


def test_nothing_is_unpickled(tmp_path):
    (tmp_path / "train.npy").write_bytes(objects())
    refused(
        gray(tmp_path),
        f"{tmp_path}/train.npy: cannot be read as a NumPy array (Array can't be memory-mapped: "
        "Python objects in dtype.)",
    )
    np.savez(tmp_path / "x.npz", train=np.array([{}], dtype=object))
    refused(
        gray(tmp_path / "x.npz"),
        f"{tmp_path}/x.npz: array 'train' cannot be read (Object arrays cannot be loaded when "
        "allow_pickle=False)",
    )
    (tmp_path / "y.npz").write_bytes(b"\x80\x04K\x01.")
    refused(gray(tmp_path / "y.npz"), f"{tmp_path}/y.npz: not an .npz file")


def test_damaged_arrays(tmp_path):
    np.save(tmp_path / "train.npy", GRAYS)
    whole = (tmp_path / "train.npy").read_bytes()
    for content in (b"", b"\x93NUMPY", whole[:40], whole[:-1], b"text"):
        (tmp_path / "train.npy").write_bytes(content)
        with pytest.raises(DataError, match=f"^{tmp_path}/train.npy: cannot be read as a NumPy"):
            gray(tmp_path).load("train")
    np.savez_compressed(tmp_path / "x.npz", train=GRAYS)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[200] ^= 255
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=f"^{tmp_path}/x.npz: array 'train' cannot be read"):
        gray(tmp_path / "x.npz").load("train")


# MNIST's files


@pytest.mark.parametrize("packed", [False, True])
def test_mnists_files(tmp_path, packed):
    names = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
    parts = {"train": GRAYS, "test": GRAYS[:9] ^ 1}
    for split, name in names.items():
        (tmp_path / name.replace("images-idx3", "labels-idx1")).write_bytes(b"labels")
        if packed:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(parts[split])))
        else:
            (tmp_path / name).write_bytes(idx(parts[split]))
    for split, images in parts.items():
        assert np.array_equal(gray(tmp_path).load(split), images[:, np.newaxis])
    assert_conforms(check_dataset(lambda: gray(tmp_path)))
    refused(
        Folder(path=tmp_path, size=4),
        f"{tmp_path}/train-images-idx3-ubyte{'.gz' if packed else ''}: the shape is (50, 4, 4), "
        "not (N, 3, 4, 4) or (N, 4, 4, 3)",
    )
    suffix = ".gz" if packed else ""
    refused(
        gray(tmp_path, split="seed"),
        f'{tmp_path}: found train-images-idx3-ubyte{suffix}, which needs split = "folders"',
    )


def test_the_unpacked_one_of_two_is_read(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(GRAYS))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"not read")
    assert gray(tmp_path).load("train").shape == (50, 1, 4, 4)


# One pool divided by a seed


def rows(examples):
    return [example.tobytes() for example in examples]


def test_pictures_divided_by_a_seed(tmp_path):
    write_pictures(tmp_path, GRAYS, [f"{index % 3}/{index:02}.png" for index in range(50)])
    dataset = gray(tmp_path, split="seed", test_share=0.3)
    train, test = dataset.load("train"), dataset.load("test")
    assert (train.shape, test.shape) == ((35, 1, 4, 4), (15, 1, 4, 4))
    in_order = rows(GRAYS[sorted(range(50), key=lambda index: (index % 3, index))])
    for examples in (train, test):
        places = [in_order.index(row) for row in rows(examples)]
        assert places == sorted(places)
    assert sorted(rows(train) + rows(test)) == sorted(in_order)
    assert_conforms(check_dataset(lambda: gray(tmp_path, split="seed", test_share=0.3)))
    other = gray(tmp_path, split="seed", test_share=0.3, seed=1).load("test")
    assert rows(other) != rows(test)
    # Pictures are divided like the same images in an array.
    np.save(tmp_path / "x.npy", GRAYS)
    array = gray(tmp_path / "x.npy", split="seed", test_share=0.3)
    assert sorted(rows(array.load("test"))) == sorted(rows(test))


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x-ubyte", "x-ubyte.gz"])
def test_arrays_divided_by_a_seed(tmp_path, name):
    file = tmp_path / name
    if file.suffix == ".npy":
        np.save(file, GRAYS)
    elif file.suffix == ".npz":
        np.savez(file, anything=GRAYS)
    else:
        file.write_bytes(gzip.compress(idx(GRAYS)) if file.suffix == ".gz" else idx(GRAYS))
    dataset = gray(file, split="seed")
    train, test = dataset.load("train"), dataset.load("test")
    assert (len(train), len(test)) == (40, 10)
    assert train.shape[1:] == (1, 4, 4)
    tickets = [ticket(0, image.tobytes()) for image in GRAYS]
    limit = sorted(tickets)[9]
    expected = [row for row, drawn in zip(rows(GRAYS), tickets, strict=True) if drawn <= limit]
    assert rows(test) == expected
    assert rows(train) == [row for row in rows(GRAYS) if row not in expected]


def test_the_same_picture_in_two_formats_is_on_one_side(tmp_path):
    names = [f"{index:02}" for index in range(50)]
    write_pictures(tmp_path, GRAYS, [f"{name}.png" for name in names])
    write_pictures(tmp_path, GRAYS, [f"{name}.bmp" for name in names])
    dataset = gray(tmp_path, split="seed", test_share=0.3)
    train, test = rows(dataset.load("train")), rows(dataset.load("test"))
    assert (len(train), len(test)) == (70, 30)
    assert not set(train) & set(test)
    assert_conforms(check_dataset(lambda: gray(tmp_path, split="seed", test_share=0.3)))


def test_tickets_are_a_hash_of_seed_and_content():
    assert ticket(0, b"abc").hex() == "f613bf21d8b3d0ded1cb031922a57331"
    assert len({ticket(0, b"a"), ticket(1, b"a"), ticket(0, b"b"), ticket(10, b"")}) == 4


def test_duplicates_stay_together(tmp_path):
    repeated = np.concatenate([GRAYS[:10]] * 3)
    write_pictures(tmp_path / "pictures", repeated)
    np.save(tmp_path / "x.npy", repeated)
    for path in (tmp_path / "pictures", tmp_path / "x.npy"):
        dataset = gray(path, split="seed", test_share=0.5)
        train, test = dataset.load("train"), dataset.load("test")
        assert len(train) == len(test) == 15 or {len(train), len(test)} == {12, 18}
        assert not set(rows(train)) & set(rows(test))


@given(
    numbers=st.lists(st.integers(0, 9), min_size=2).filter(lambda some: len(set(some)) > 1),
    share=st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_lowest(numbers, share):
    tickets = [bytes([number]) for number in numbers]
    marked = lowest(tickets, share)
    low = [number for number, mark in zip(numbers, marked, strict=True) if mark]
    high = [number for number, mark in zip(numbers, marked, strict=True) if not mark]
    assert low
    assert high
    assert max(low) < min(high)
    if len(set(numbers)) == len(numbers):
        assert len(low) == min(max(round(share * len(numbers)), 1), len(numbers) - 1)


def test_a_pool_that_cannot_be_divided(tmp_path):
    np.save(tmp_path / "x.npy", GRAYS[[0, 0, 0]])
    message = "a split into train and test needs at least two different examples"
    refused(gray(tmp_path / "x.npy", split="seed"), f"{tmp_path}/x.npy: {message}")
    write_pictures(tmp_path / "pictures", GRAYS[:1])
    refused(gray(tmp_path / "pictures", split="seed"), f"{tmp_path}/pictures: {message}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"^{tmp_path}/empty: no pictures found"):
        gray(tmp_path / "empty", split="seed").load("test")


def test_single_files_that_are_not_understood(tmp_path):
    file = tmp_path / "x.npy"
    np.save(file, GRAYS)
    refused(gray(file), f'{file}: only an .npz file can contain two splits; use split = "seed"')
    np.savez(tmp_path / "x.npz", a=GRAYS, b=GRAYS)
    message = f"{tmp_path}/x.npz: expected a single array, found: a, b"
    refused(gray(tmp_path / "x.npz", split="seed"), message)
    (tmp_path / "x.zip").touch()
    refused(
        gray(tmp_path / "x.zip", split="seed"),
        f"{tmp_path}/x.zip: not a supported file; supported are *.npy, *.npz, *-ubyte, *-ubyte.gz",
    )


# Notes


def test_files_that_are_passed_over_are_noted(tmp_path):
    write_pictures(tmp_path / "train", GRAYS[:10])
    write_pictures(tmp_path / "test", GRAYS[10:12])
    assert gray(tmp_path).notes() == []
    for index in range(50):
        image = PIL.Image.fromarray(GRAYS[index])
        image.save(tmp_path / "train" / f"{index:02}.jfif", format="JPEG")
    for split, name in (("train", "1.HEIC"), ("test", "2.heic"), ("test", "labels")):
        (tmp_path / split / name).touch()
    dataset = gray(tmp_path)
    assert len(dataset.load("train")) == 60
    assert dataset.notes() == ["3 files were passed over: 2 .heic, 1 without suffix"]
    pool = gray(tmp_path / "train", split="seed")
    assert pool.notes() == ["1 file was passed over: 1 .heic"]
    np.save(tmp_path / "x.npy", GRAYS)
    assert gray(tmp_path / "x.npy", split="seed").notes() == []


def test_a_note_names_few_suffixes(tmp_path):
    write_pictures(tmp_path / "test", GRAYS[:1])
    for index in range(20):
        (tmp_path / "test" / f"{index}.{index % 8}").touch()
    assert gray(tmp_path).notes() == [
        "20 files were passed over: 3 .0, 3 .1, 3 .2, 3 .3, 2 .4, 6 others"
    ]


def test_16_bit_pictures_of_both_splits_are_read_alike(tmp_path):
    values = np.uint16([[[0, 1], [30, 300]], [[2, 3], [2000, 4000]]])
    write_pictures(tmp_path / "train", values[:1])
    write_pictures(tmp_path / "test", values[1:])
    dataset = Folder(path=tmp_path, size=2, channels=1)
    assert dataset.load("train").ravel().tolist() == [0, 0, 1, 18]
    assert dataset.load("test").ravel().tolist() == [0, 0, 125, 250]
    assert dataset.notes() == ["2 16-bit pictures read as 12-bit; the largest value is 4,000"]


# Stamps


@pytest.fixture(params=["contents", "states"])
def hashed(request, monkeypatch):
    """What stamps are made of; files too large to be hashed count by their states."""
    if request.param == "states":
        monkeypatch.setattr("plugins.datasets._common.HASHED_BYTES", 0)
    return request.param


def test_stamp_of_folders(tmp_path, hashed):
    write_pictures(tmp_path / "train", GRAYS[:3])
    write_pictures(tmp_path / "test", GRAYS[3:5])
    dataset = gray(tmp_path)
    stamps = [dataset.stamp()]
    assert dataset.stamp() == stamps[0] == gray(tmp_path).stamp()
    assert re.fullmatch("[0-9a-f]{64}", stamps[0])

    (tmp_path / "README.txt").write_text("not read")
    assert dataset.stamp() == stamps[0]
    (tmp_path / "train" / "labels.csv").write_text("not read, but told in a note")
    assert dataset.stamp() != stamps[0]
    stamps[0] = dataset.stamp()
    (tmp_path / "train" / "labels.csv").write_text("not read, whatever it says")
    assert dataset.stamp() == stamps[0]

    (tmp_path / "test" / "000.png").rename(tmp_path / "test" / "renamed.png")
    stamps.append(dataset.stamp())
    (tmp_path / "test" / "001.png").unlink()
    stamps.append(dataset.stamp())
    with (tmp_path / "train" / "001.png").open("ab") as stream:
        stream.write(b"longer")
    stamps.append(dataset.stamp())
    (tmp_path / "train" / "000.png").rename(tmp_path / "test" / "000.png")
    stamps.append(dataset.stamp())
    assert len(set(stamps)) == 5


def test_a_time_alone_changes_only_a_stamp_of_states(tmp_path, hashed):
    write_pictures(tmp_path / "train", GRAYS[:3])
    before, file = gray(tmp_path).stamp(), tmp_path / "train" / "001.png"
    state = file.stat()
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert (gray(tmp_path).stamp() == before) == (hashed == "contents")


@pytest.mark.parametrize("how", ["in place", "by another file"])
def test_other_data_of_the_same_size_and_time_is_noticed(tmp_path, hashed, how):
    """As `tar`, `zip`, container images and `rsync -t` leave it."""
    file, other = tmp_path / "test.npy", tmp_path / "other"
    np.save(file, GRAYS)
    before, state = gray(tmp_path).stamp(), file.stat()
    time.sleep(0.05)  # times of files advance in steps of some milliseconds
    with other.open("wb") as stream:
        np.save(stream, 255 - GRAYS)
    if how == "in place":
        file.write_bytes(other.read_bytes())
    else:
        other.replace(file)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert gray(tmp_path).stamp() != before


def test_a_copy_of_small_files_has_the_same_stamp(tmp_path):
    write_pictures(tmp_path / "a" / "train", GRAYS[:3])
    stamp = gray(tmp_path / "a").stamp()
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    assert gray(tmp_path / "b").stamp() == stamp


def test_the_sizes_of_all_files_together_decide(tmp_path, monkeypatch):
    np.save(tmp_path / "train.npy", GRAYS)
    np.save(tmp_path / "test.npy", GRAYS)
    size = (tmp_path / "test.npy").stat().st_size
    found = []
    for limit in (2 * size, 2 * size - 1, 0):
        monkeypatch.setattr("plugins.datasets._common.HASHED_BYTES", limit)
        found.append(gray(tmp_path).stamp())
    assert found[0] != found[1] == found[2]


def test_a_file_that_cannot_be_read_is_named_by_its_stamp(tmp_path, monkeypatch):
    np.save(tmp_path / "train.npy", GRAYS)
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(DataError, match=r"train.npy: cannot be read \(.*Permission denied"):
        gray(tmp_path).stamp()


def denied(*arguments, **options):
    raise PermissionError(13, "Permission denied")


def test_stamp_does_not_depend_on_where_the_folder_is(tmp_path):
    write_pictures(tmp_path / "a" / "train", GRAYS[:3])
    stamp = gray(tmp_path / "a").stamp()
    (tmp_path / "a").rename(tmp_path / "b")
    assert gray(tmp_path / "b").stamp() == stamp
    (tmp_path / "b" / "train" / "002.png").rename(tmp_path / "b" / "train" / "003.png")
    assert gray(tmp_path / "b").stamp() != stamp


@pytest.mark.parametrize("split", ["folders", "seed"])
def test_stamp_of_a_file(tmp_path, split):
    file = tmp_path / "x.npz"
    np.savez(file, train=GRAYS)
    dataset = gray(file, split=split)
    before = dataset.stamp()
    assert dataset.stamp() == before
    np.savez(file, train=255 - GRAYS)
    assert dataset.stamp() != before


def test_stamp_of_arrays_in_a_folder(tmp_path):
    np.save(tmp_path / "train.npy", GRAYS)
    before = gray(tmp_path).stamp()
    np.save(tmp_path / "test.npy", GRAYS)
    assert gray(tmp_path).stamp() != before
