"""Writes small versions of the paper's data sets, each in its true files and formats.

Every writer takes the folder of raw files and returns what its files hold, by split: arrays as
published, (N, C, H, W), or the pictures before they are resized, as lists of (H, W, C) or (H, W).
With `times` every split has so many times the usual few examples.
"""

from __future__ import annotations

import csv
import gzip
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image

COUNTS = {"train": 10, "test": 4}


def pixels(*shape, seed=0):
    """Random values from 0 to 255, few enough for PNG files of different sizes."""
    return 17 * np.random.default_rng([seed, *shape]).integers(0, 16, shape, np.uint8)


def smooth(height, width, channels, seed):
    """A picture that survives resizing and JPEG."""
    rows, columns = np.mgrid[:height, :width]
    waves = np.random.default_rng(seed).uniform(0.02, 0.12, (channels, 3))
    planes = [127 + 120 * np.sin(a * rows + b * columns + 60 * c) for a, b, c in waves]
    return np.stack(planes, axis=-1).round().astype(np.uint8)


def write_idx(root: Path, folder: str, suffix: str = "", times: int = 1):
    raw = root / folder / "raw"
    raw.mkdir(parents=True)
    arrays = {}
    for split, start in (("train", "train"), ("test", "t10k")):
        images = pixels(times * COUNTS[split], 28, 28, seed=len(folder))
        labels = np.arange(len(images), dtype=np.uint8) % 10
        contents = {
            "images-idx3": struct.pack(">4I", 0x803, *images.shape) + images.tobytes(),
            "labels-idx1": struct.pack(">2I", 0x801, len(labels)) + labels.tobytes(),
        }
        for kind, content in contents.items():
            packed = gzip.compress(content) if suffix else content
            (raw / f"{start}-{kind}-ubyte{suffix}").write_bytes(packed)
        arrays[split] = images[:, np.newaxis]
    return arrays


def write_mnist(root: Path, times: int = 1):
    return write_idx(root, "MNIST", times=times)


def write_fashion_mnist(root: Path, times: int = 1):
    return write_idx(root, "FashionMNIST", times=times)


def write_kmnist(root: Path, times: int = 1):
    return write_idx(root, "KMNIST", ".gz", times=times)


def write_svhn(root: Path, times: int = 1):
    from scipy.io import savemat

    (root / "svhn").mkdir(parents=True)
    arrays = {}
    for split, few in COUNTS.items():
        count = times * few
        x = pixels(32, 32, 3, count)
        y = np.arange(1, count + 1, dtype=np.uint8)[:, np.newaxis]
        savemat(root / f"svhn/{split}_32x32.mat", {"X": x, "y": y}, do_compression=True)
        arrays[split] = np.stack([x[..., i].transpose(2, 0, 1) for i in range(count)])
    return arrays


def write_cifar10(root: Path, times: int = 1):
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    arrays = {split: pixels(times * few, 3, 32, 32) for split, few in COUNTS.items()}
    fifths = np.split(arrays["train"], 5)
    batches = {f"data_batch_{n}": fifth for n, fifth in enumerate(fifths, 1)}
    for name, images in {**batches, "test_batch": arrays["test"]}.items():
        rows = np.stack([np.concatenate([plane.ravel() for plane in image]) for image in images])
        (folder / name).write_bytes(python_2_batch(rows))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["cat"]}, protocol=2))
    return arrays


def python_2_batch(rows: np.ndarray) -> bytes:
    """What Python 2's cPickle made of a batch of CIFAR-10 under protocol 2."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    labels = b"](" + b"".join(b"K" + bytes([i % 10]) for i in range(len(rows))) + b"e"
    names = b"](" + b"".join(text(b"leptodactylus_%d.png" % i) for i in range(len(rows))) + b"e"
    number = [b"J" + struct.pack("<i", value) for value in rows.shape]
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87R("
        b"K\x01" + number[0] + number[1] + b"\x86cnumpy\ndtype\nq\x03U\x02u1K\x00K\x01\x87R("
        b"K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<i", rows.nbytes) + rows.tobytes() + b"tb"
    )
    items = [
        text(b"batch_label") + text(b"training batch 1 of 5"),
        text(b"labels") + labels,
        text(b"data") + array,
        text(b"filenames") + names,
    ]
    return b"\x80\x02}q\x00(" + b"".join(items) + b"u."


def write_imagenet32(root: Path, form: str = "npz", folders: bool = False, times: int = 1):
    """`form` is `npz` or `pickle`; with `folders`, as the archives unpack."""
    ending = "_npz" if form == "npz" else ""
    arrays = {"train": pixels(15 * times, 3, 32, 32), "test": pixels(4 * times, 3, 32, 32)}
    parts = {f"train_data_batch_{n}": arrays["train"][n - 1 : n] for n in range(1, 10)}
    parts["train_data_batch_10"] = arrays["train"][9:]
    for name, images in {**parts, "val_data": arrays["test"]}.items():
        folder = root / "imagenet32"
        if folders:
            folder /= f"Imagenet32_{name.partition('_')[0]}{ending}"
        folder.mkdir(parents=True, exist_ok=True)
        data = images.reshape(len(images), -1)
        batch = {"data": data, "labels": [1] * len(data), "mean": data.mean(axis=0)}
        if form == "npz":
            np.savez(folder / f"{name}.npz", **batch)
        else:
            (folder / name).write_bytes(pickle.dumps(batch, protocol=3))
    return arrays


CELEBA = ["test", "train", "valid", "train", "test", "train"]
"""The splits of the pictures, in the order of the list."""


def write_celeba(root: Path, packed: bool = False, times: int = 1):
    folder = root / "celeba/img_align_celeba"
    folder.mkdir(parents=True)
    given = {"train": [], "test": [], "valid": []}
    lines = []
    for number, split in enumerate(CELEBA * times, 1):
        file = folder / f"{number:06}.jpg"
        PIL.Image.fromarray(smooth(218, 178, 3, number)).save(file, quality=95)
        with PIL.Image.open(file) as image:
            given[split].append(np.asarray(image))
        lines.append(f"{file.name} {['train', 'valid', 'test'].index(split)}\n")
    (root / "celeba/list_eval_partition.txt").write_text("".join(lines))
    if packed:
        pack(folder)
    return given


def write_gtsrb(root: Path, times: int = 1):
    base = root / "gtsrb/GTSRB"
    given = {"train": [], "test": []}
    shapes = [(32, 32), (15, 17), (90, 60)] * times
    for kind in (0, 42):
        folder = base / f"Training/{kind:05}"
        folder.mkdir(parents=True)
        (folder / f"GT-{kind:05}.csv").write_text("Filename;Width;Height\n")
        for number, (height, width) in enumerate(shapes):
            picture = smooth(height, width, 3, 10 * kind + number)
            PIL.Image.fromarray(picture).save(folder / f"00000_{number:05}.ppm")
            given["train"].append(picture)
    images = base / "Final_Test/Images"
    images.mkdir(parents=True)
    (images / "GT-final_test.test.csv").write_text("Filename;Width;Height\n")
    with (root / "gtsrb/GT-final_test.csv").open("w", newline="") as stream:
        rows = csv.writer(stream, delimiter=";")
        rows.writerow("Filename Width Height Roi.X1 Roi.Y1 Roi.X2 Roi.Y2 ClassId".split())
        for number, (height, width) in enumerate(shapes):
            picture = smooth(height, width, 3, 99 + number)
            PIL.Image.fromarray(picture).save(images / f"{number:05}.ppm")
            rows.writerow([f"{number:05}.ppm", width, height, 5, 6, 20, 21, number])
            given["test"].append(picture)
    return given


def write_omniglot(root: Path, packed: bool = True, times: int = 1):
    given = {"train": [], "test": []}
    parts = {
        "train": ("images_background", {"Alphabet_of_the_Magi": 2, "Greek": 1}),
        "test": ("images_evaluation", {"Angelic": 1, "Manipuri": 1}),
    }
    for split, (part, alphabets) in parts.items():
        for alphabet, characters in alphabets.items():
            for character in range(1, characters + 1):
                folder = root / f"omniglot-py/{part}/{alphabet}/character{character:02}"
                folder.mkdir(parents=True)
                for drawer in range(1, 2 * times + 1):
                    picture = strokes(len(given[split]) + (split == "test") * 50)
                    name = f"{700 + len(given[split]):04}_{drawer:02}.png"
                    PIL.Image.fromarray(picture).convert("1").save(folder / name)
                    given[split].append(picture)
        if packed:
            pack(root / f"omniglot-py/{part}")
    return given


def strokes(seed: int) -> np.ndarray:
    """A few dark lines on white."""
    picture = np.full((105, 105), 255, np.uint8)
    for start, width in np.random.default_rng(seed).integers(5, 90, (3, 2)):
        picture[start : start + 3, 5 : 5 + width] = 0
        picture[5 : 5 + width, start : start + 3] = 0
    return picture


def pack(folder: Path) -> None:
    """A folder into the archive of its name, folder entries and all, in no good order."""
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*"), reverse=True):
            archive.write(path, path.relative_to(folder.parent))
        archive.writestr(f"__MACOSX/{folder.name}/._0001_01.png", b"")
        archive.writestr(f"{folder.name}/.hidden.png", b"")
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


WRITERS = {
    "mnist": write_mnist,
    "fashion-mnist": write_fashion_mnist,
    "kmnist": write_kmnist,
    "omniglot": write_omniglot,
    "svhn": write_svhn,
    "celeba": write_celeba,
    "cifar10": write_cifar10,
    "gtsrb": write_gtsrb,
    "imagenet32": write_imagenet32,
}
