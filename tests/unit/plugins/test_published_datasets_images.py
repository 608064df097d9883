"""The paper's data sets that are published as pictures: splits, order, cropping and resizing."""

from __future__ import annotations

import re
import shutil
import zipfile

import numpy as np
import PIL.Image
import pytest

from oodbench import DataError
from plugins.datasets import image_files
from plugins.datasets.published import celeba
from plugins.datasets.published import image_archive as photographs
from plugins.datasets.published.celeba import CelebA
from plugins.datasets.published.gtsrb import Gtsrb
from plugins.datasets.published.omniglot import Omniglot
from tests.unit.plugins.published_files import (
    CELEBA,
    pack,
    smooth,
    write_celeba,
    write_gtsrb,
    write_omniglot,
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    return tmp_path / "raw"


def refused(dataset, message, split="train"):
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        dataset.load(split)


def resized(picture, size):
    """What torchvision makes of a picture: (C, size, size)."""
    from torchvision.transforms import Resize

    pixels = np.asarray(Resize((size, size))(PIL.Image.fromarray(picture)))
    return pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def triangle(picture, size):
    """Antialiased reduction by a triangle as wide as the reduction, unrounded; (C, size, size)."""

    def weights(length):
        scale = length / size
        support = max(scale, 1.0)
        centres = (np.arange(size) + 0.5) * scale - 0.5
        distance = np.abs(np.arange(length) - centres[:, np.newaxis]) / support
        table = np.clip(1 - distance, 0, None)
        return table / table.sum(axis=1, keepdims=True)

    planes = np.atleast_3d(picture).transpose(2, 0, 1).astype(float)
    return weights(planes.shape[1]) @ planes @ weights(planes.shape[2]).T


def same(dataset, split, pictures, size):
    found = dataset.load(split)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert np.array_equal(found, np.stack([resized(picture, size) for picture in pictures]))
    slow = np.stack([triangle(picture, size) for picture in pictures])
    assert np.abs(found - slow).max() <= 1.5


# CelebA


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_celeba(root, split, packed):
    given = write_celeba(root, packed)
    central = [picture[35:183, 15:163] for picture in given[split]]
    assert len(central) == CELEBA.count(split)
    same(CelebA(verify=False), split, central, 32)


def test_celeba_crops(root):
    given = write_celeba(root)
    smaller = [picture[39:179, 19:159] for picture in given["test"]]
    same(CelebA(verify=False, crop="centre-140"), "test", smaller, 32)
    lower = [picture[40:188, 15:163] for picture in given["test"]]
    same(CelebA(verify=False, crop="code"), "test", lower, 32)


@pytest.mark.parametrize(("crop", "side"), [("centre-148", 148), ("centre-140", 140)])
def test_celeba_crops_are_those_of_torchvision(crop, side):
    from torchvision.transforms import CenterCrop

    picture = PIL.Image.fromarray(smooth(218, 178, 3, 1))
    ours = picture.crop(celeba.CROPS[crop])
    assert np.array_equal(np.asarray(ours), np.asarray(CenterCrop(side)(picture)))


def test_celeba_leaves_nothing_of_the_crops_surroundings(root):
    """Resizing looks at no pixel outside the square."""
    write_celeba(root)
    file = root / "celeba/img_align_celeba/000001.jpg"
    picture = np.full((218, 178, 3), 255, np.uint8)
    picture[35:183, 15:163] = 0
    PIL.Image.fromarray(picture).save(file.with_suffix(".png"))
    file.with_suffix(".png").rename(file)
    assert CelebA(verify=False).load("test")[0].max() == 0


def test_celeba_divided_at_random(root):
    given = write_celeba(root)
    everyone = {name: list(given[name]) for name in given}
    ordered = [everyone[split].pop(0) for split in CELEBA]
    expected = [resized(picture[35:183, 15:163], 32).tobytes() for picture in ordered]
    drawn = CelebA(verify=False, partition="random")
    found = {
        split: [expected.index(x.tobytes()) for x in drawn.load(split)] for split in drawn.splits
    }
    assert sorted(found["train"] + found["test"]) == list(range(6))
    assert len(found["train"]) == 4
    assert all(places == sorted(places) for places in found.values())
    official = {split: [i for i, s in enumerate(CELEBA) if s == split] for split in found}
    assert found != official


def test_celeba_counts_at_random():
    drawn = CelebA(partition="random")
    assert {split: drawn._count(split) for split in drawn.splits} == {
        "train": 162_079,
        "test": 40_520,
    }
    assert celeba.TOTAL == 162_770 + 19_867 + 19_962


@pytest.mark.parametrize(
    ("line", "number", "text"),
    [
        ("000009.jpg 3", 7, "'000009.jpg 3'"),
        ("000009.jpg", 7, "'000009.jpg'"),
        ("000001.jpg 0", 7, "'000001.jpg 0'"),
        ("000009.jpg 1 2", 7, "'000009.jpg 1 2'"),
    ],
)
def test_celeba_list_garbled(root, line, number, text):
    write_celeba(root)
    file = root / "celeba/list_eval_partition.txt"
    file.write_text(f"{file.read_text()}{line}\n")
    refused(
        CelebA(verify=False),
        f"{file}:{number}: expected a new picture name and 0, 1 or 2, not {text}",
    )


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", ".hidden.jpg", "a\\b.jpg"])
def test_celeba_list_that_leads_elsewhere(root, name):
    write_celeba(root)
    file = root / "celeba/list_eval_partition.txt"
    file.write_text(f"{name} 0\n")
    refused(CelebA(verify=False), f"{file}: {name!r} is not a plain file name")


def test_celeba_list_without_a_split(root):
    write_celeba(root)
    file = root / "celeba/list_eval_partition.txt"
    file.write_text("000001.jpg 0\n\n")
    refused(CelebA(verify=False), f"{file}: no test pictures listed", "test")


def test_celeba_list_that_is_no_text(root):
    write_celeba(root)
    file = root / "celeba/list_eval_partition.txt"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=f"^{re.escape(str(file))}: cannot be read as text"):
        CelebA(verify=False).load("train")


def test_celeba_picture_missing(root):
    write_celeba(root)
    file = root / "celeba/img_align_celeba/000004.jpg"
    file.unlink()
    refused(CelebA(verify=False), f"{file}: cannot be read (No such file or directory)")


def test_celeba_picture_missing_in_the_archive(root):
    write_celeba(root)
    (root / "celeba/img_align_celeba/000004.jpg").unlink()
    pack(root / "celeba/img_align_celeba")
    where = f"{root / 'celeba/img_align_celeba.zip'}: img_align_celeba/000004.jpg"
    with pytest.raises(DataError, match=f"^{re.escape(where)}: cannot be read"):
        CelebA(verify=False).load("train")


def test_celeba_picture_of_another_size(root):
    write_celeba(root)
    file = root / "celeba/img_align_celeba/000002.jpg"
    PIL.Image.fromarray(smooth(178, 218, 3, 2)).save(file)
    refused(CelebA(verify=False), f"{file}: the size is 218 x 178 pixels, not 178 x 218")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.97])
def test_celeba_picture_truncated(root, share):
    write_celeba(root)
    file = root / "celeba/img_align_celeba/000002.jpg"
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=f"^{re.escape(str(file))}: cannot be read as a picture"):
        CelebA(verify=False).load("train")


def test_celeba_archive_truncated(root):
    write_celeba(root, packed=True)
    file = root / "celeba/img_align_celeba.zip"
    file.write_bytes(file.read_bytes()[:-30])
    refused(
        CelebA(verify=False),
        f"{file}: cannot be read as a zip archive (File is not a zip file)",
    )


def test_a_huge_member_of_an_archive(root, monkeypatch):
    write_celeba(root, packed=True)
    monkeypatch.setattr(photographs, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="bytes are too many for a picture"):
        CelebA(verify=False).load("train")


# GTSRB


@pytest.mark.parametrize("split", ["train", "test"])
def test_gtsrb(root, split):
    given = write_gtsrb(root)
    same(Gtsrb(verify=False), split, given[split], 32)
    exact = Gtsrb(verify=False).load(split)[0]
    assert np.array_equal(exact, given[split][0].transpose(2, 0, 1))


def test_gtsrb_test_is_what_the_list_names(root):
    """In its order; a picture that it does not name is not read."""
    given = write_gtsrb(root)
    file = root / "gtsrb/GT-final_test.csv"
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, rows[2], rows[0]]))
    same(Gtsrb(verify=False), "test", [given["test"][2], given["test"][0]], 32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no pictures listed"),
        ("Filename;Width\n", "no pictures listed"),
        ("Name;Width\n00000.ppm;3\n", "column 'Filename' not found"),
        ("Filename\n00000.ppm\n00000.ppm\n", "a picture is listed twice"),
        ("Filename\n../../x.ppm\n", "'../../x.ppm' is not a plain file name"),
    ],
)
def test_gtsrb_list_garbled(root, content, message):
    write_gtsrb(root)
    file = root / "gtsrb/GT-final_test.csv"
    file.write_text(content)
    refused(Gtsrb(verify=False), f"{file}: {message}", "test")


def test_gtsrb_picture_missing(root):
    write_gtsrb(root)
    file = root / "gtsrb/GTSRB/Final_Test/Images/00001.ppm"
    file.unlink()
    refused(Gtsrb(verify=False), f"{file}: cannot be read (No such file or directory)", "test")


def test_gtsrb_folder_empty(root):
    write_gtsrb(root)
    folder = root / "gtsrb/GTSRB/Training"
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(DataError, match=f"^{re.escape(str(folder))}: no .ppm pictures found"):
        Gtsrb(verify=False).load("train")


def test_gtsrb_picture_truncated(root):
    write_gtsrb(root)
    file = root / "gtsrb/GTSRB/Training/00000/00000_00001.ppm"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"^{re.escape(str(file))}: cannot be read as a picture"):
        Gtsrb(verify=False).load("train")


def test_gtsrb_picture_too_large(root, monkeypatch):
    write_gtsrb(root)
    monkeypatch.setattr(image_files, "MAX_PIXELS", 5000)
    file = root / "gtsrb/GTSRB/Training/00000/00000_00002.ppm"
    refused(
        Gtsrb(verify=False),
        f"{file}: 60 x 90 pixels are more than the maximum, 5000",
    )


# Omniglot


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
def test_omniglot(root, split, packed):
    given = write_omniglot(root, packed)
    same(Omniglot(verify=False), split, given[split], 28)


def test_omniglot_is_dark_on_white_unless_inverted(root):
    write_omniglot(root)
    plain = Omniglot(verify=False).load("train")
    inverted = Omniglot(verify=False, invert=True).load("train")
    assert plain.mean() > 200
    assert np.array_equal(inverted, 255 - plain)


def test_omniglot_picture_of_another_size(root):
    write_omniglot(root, packed=False)
    file = root / "omniglot-py/images_background/Greek/character01/0704_01.png"
    PIL.Image.fromarray(np.zeros((28, 28), np.uint8)).save(file)
    refused(Omniglot(verify=False), f"{file}: the size is 28 x 28 pixels, not 105 x 105")


def test_omniglot_archive_of_something_else(root):
    write_omniglot(root)
    file = root / "omniglot-py/images_background.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("strokes_background/Greek/character01/0704_01.txt", "")
    refused(Omniglot(verify=False), f"{file}: no .png pictures found")


def test_omniglot_member_damaged(root):
    write_omniglot(root)
    file = root / "omniglot-py/images_background.zip"
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        member = max(archive.infolist(), key=lambda info: info.compress_size)
    content[member.header_offset + 30 + len(member.filename) + 40] ^= 0xFF
    file.write_bytes(content)
    where = re.escape(f"{file}: {member.filename}")
    with pytest.raises(DataError, match=f"^{where}: cannot be read"):
        Omniglot(verify=False).load("train")
