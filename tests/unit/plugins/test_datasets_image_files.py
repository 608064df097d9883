"""Picture files: which are found, and what is made of each."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from oodbench import DataError, Images
from plugins.datasets._common import luma
from plugins.datasets.image_files import (
    MAX_PIXELS,
    Depth,
    count_passed_over,
    list_pictures,
    read_pictures,
)

GRAY, COLOUR = Images(1, 2, 2), Images(3, 2, 2)
RGB = np.uint8([[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [100, 110, 250]]])
L = np.uint8([[1, 2], [3, 250]])


def saved(folder: Path, image, name="picture.png", **options) -> Path:
    if isinstance(image, np.ndarray):
        image = PIL.Image.fromarray(image)
    image.save(folder / name, **options)
    return folder / name


def png(width, height, *, bits=8, kind=2, rows=b"") -> bytes:
    """A PNG file written by hand."""

    def chunk(name, content):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def attribute(file, name):
    with PIL.Image.open(file) as image:
        return getattr(image, name)


def read_picture(file, domain):
    """A picture that is a data set of its own."""
    return read_pictures([file], domain, Depth([file]))[0]


def refused(file, message, domain=COLOUR):
    with pytest.raises(DataError, match=f"^{re.escape(f'{file}: {message}')}"):
        read_picture(file, domain)


# Finding them


def test_pictures_are_found_in_the_order_of_their_paths(tmp_path):
    names = [
        "b/2.png", "b/10.JPG", "a/x/1.jpeg", "a-b/1.webp", "0.tif", "Z.bmp", "a/1.gif", "a/2.ppm",
        "a/3.pgm", "ä.tiff",
    ]  # fmt: skip
    others = ["a/labels.txt", "a/.hidden.png", ".git/1.png", "png", "Thumbs.db", "x.npy"]
    for name in names + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [file.relative_to(tmp_path).as_posix() for file in list_pictures(tmp_path)]
    assert found == [
        "0.tif", "Z.bmp", "a-b/1.webp", "a/1.gif", "a/2.ppm", "a/3.pgm", "a/x/1.jpeg", "b/10.JPG",
        "b/2.png", "ä.tiff",
    ]  # fmt: skip


def test_links_are_followed_but_nothing_counts_twice(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.png").touch()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here" / "2.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    found = list_pictures(tmp_path / "here")
    assert found == [tmp_path / "here" / "2.png", tmp_path / "here" / "a" / "1.png"]
    (tmp_path / "here" / "b").symlink_to(tmp_path / "elsewhere")
    message = f"{tmp_path}/here/b: a link to {tmp_path}/here/a; the files would count twice"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        list_pictures(tmp_path / "here")


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").symlink_to(tmp_path)
    with pytest.raises(DataError, match=f"^{re.escape(f'{tmp_path}/a/b: a link to ')}"):
        list_pictures(tmp_path)


def test_no_picture(tmp_path):
    (tmp_path / "notes.txt").touch()
    message = (
        f"{tmp_path}: no pictures found; supported are .bmp, .gif, .jfif, .jpeg, .jpg, .pgm, "
        ".png, .ppm, .tif, .tiff, .webp"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        list_pictures(tmp_path)


def test_files_that_are_no_pictures_are_counted_by_suffix(tmp_path):
    names = ["a.png", "b/c.HEIC", "b/d.heic", "e.jfif", "f", "g.tar.gz", ".h.heic", ".i/j.heic"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert count_passed_over(tmp_path) == {".heic": 2, "": 1, ".gz": 1}
    assert [file.name for file in list_pictures(tmp_path)] == ["a.png", "e.jfif"]


# Channels and modes


def test_colour(tmp_path):
    file = saved(tmp_path, RGB)
    image = read_picture(file, COLOUR)
    assert image.dtype == np.uint8
    assert image.tolist() == [
        [[10, 40], [70, 100]],
        [[20, 50], [80, 110]],
        [[30, 60], [90, 250]],
    ]


def test_colour_as_gray(tmp_path):
    image = read_picture(saved(tmp_path, RGB), GRAY)
    # 2.99 + 11.74 + 3.42 = 18.15, ..., 29.9 + 64.57 + 28.5 = 122.97
    assert image.tolist() == [[[18, 48], [78, 123]]]


def test_gray(tmp_path):
    file = saved(tmp_path, L)
    assert read_picture(file, GRAY).tolist() == [L.tolist()]
    assert read_picture(file, COLOUR).tolist() == [L.tolist()] * 3


@pytest.mark.parametrize("name", ["x.bmp", "x.ppm", "x.tif", "x.webp", "x.gif"])
def test_lossless_formats(tmp_path, name):
    options = {"lossless": True} if name == "x.webp" else {}
    image = PIL.Image.fromarray(RGB)
    file = saved(tmp_path, image.quantize(4) if name == "x.gif" else image, name, **options)
    assert np.array_equal(read_picture(file, COLOUR), RGB.transpose(2, 0, 1))


def test_jpeg(tmp_path):
    file = saved(tmp_path, np.full((2, 2, 3), (200, 100, 50), np.uint8), "x.jpg", quality=100)
    image = read_picture(file, COLOUR).astype(int)
    assert np.abs(image - np.reshape([200, 100, 50], (3, 1, 1))).max() <= 2


def test_the_suffix_does_not_decide_the_format(tmp_path):
    (tmp_path / "x.jpg").write_bytes(saved(tmp_path, L).read_bytes())
    assert read_picture(tmp_path / "x.jpg", GRAY).tolist() == [L.tolist()]


def test_one_bit(tmp_path):
    file = saved(tmp_path, PIL.Image.fromarray(np.uint8([[0, 255], [255, 0]])).convert("1"))
    assert attribute(file, "mode") == "1"
    assert read_picture(file, GRAY).tolist() == [[[0, 255], [255, 0]]]


def test_palette(tmp_path):
    image = PIL.Image.fromarray(np.uint8([[0, 1], [1, 0]]), "L")
    image = image.convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    file = saved(tmp_path, image)
    assert attribute(file, "mode") == "P"
    assert read_picture(file, COLOUR)[0].tolist() == [[10, 200], [200, 10]]
    assert read_picture(file, GRAY).tolist() == [[[18, 124], [124, 18]]]


def test_palette_with_transparency_is_laid_over_black(tmp_path):
    image = PIL.Image.fromarray(np.uint8([[0, 1], [1, 0]])).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    for transparency in (1, b"\xff\x00"):
        file = saved(tmp_path, image, transparency=transparency)
        assert read_picture(file, COLOUR)[0].tolist() == [[10, 0], [0, 10]]


def test_alpha_is_laid_over_black(tmp_path):
    rgba = np.full((2, 2, 4), (200, 100, 50, 255), np.uint8)
    rgba[0, 1, 3] = 0
    rgba[1, 0, 3] = 51  # a fifth
    image = read_picture(saved(tmp_path, rgba), COLOUR)
    assert image.tolist() == [[[200, 0], [40, 200]], [[100, 0], [20, 100]], [[50, 0], [10, 50]]]


def test_gray_with_alpha(tmp_path):
    la = PIL.Image.merge(
        "LA", [PIL.Image.fromarray(L), PIL.Image.fromarray(np.uint8(L > 2) * 255)]
    )
    file = saved(tmp_path, la)
    assert attribute(file, "mode") == "LA"
    assert read_picture(file, GRAY).tolist() == [[[0, 0], [3, 250]]]


def test_a_transparent_colour(tmp_path):
    file = saved(tmp_path, RGB, transparency=(40, 50, 60))
    assert read_picture(file, COLOUR)[0].tolist() == [[10, 0], [70, 100]]


def deep(folder, largest, name="x.png"):
    """A 16-bit picture with the values 0, 1 and two others."""
    return saved(folder, np.uint16([[0, 1], [largest // 2, largest]]), name)


@pytest.mark.parametrize(
    ("largest", "bits"),
    [(128, 8), (255, 8), (2048, 12), (4095, 12), (4096, 16), (30_000, 16), (65_535, 16)],
)
def test_the_bits_of_16_that_all_pictures_use_are_kept(tmp_path, largest, bits):
    small, large = deep(tmp_path, 3), deep(tmp_path, largest, "y.tif")
    depth = Depth([small, large])
    found = read_pictures([small, large], GRAY, depth).reshape(2, 4).tolist()
    values = [[0, 1, 1, 3], [0, 1, largest // 2, largest]]
    assert found == [[value >> (bits - 8) for value in picture] for picture in values]
    note = f"2 16-bit pictures read as {bits}-bit; the largest value is {largest:,}"
    assert depth.notes() == ([] if bits == 16 else [note])


@pytest.mark.parametrize("largest", [0, 1, 127, 256, 1000, 2047])
def test_16_bits_of_which_the_number_in_use_is_ambiguous(tmp_path, largest):
    file = deep(tmp_path, largest)
    message = (
        f"{tmp_path}: the largest value of 1 16-bit picture is {max(largest, 1):,}, neither 128 "
        "to 255 (8 bits) nor 2,048 or more (12 or 16 bits); save them with 8 bits"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read_picture(file, GRAY)


def test_pictures_of_8_bits_do_not_decide_on_those_of_16(tmp_path):
    bright, faint = saved(tmp_path, np.full((2, 2), 255, np.uint8), "a.png"), deep(tmp_path, 3)
    with pytest.raises(DataError, match="the largest value of 1 16-bit picture is 3"):
        read_pictures([bright, faint], GRAY, Depth([bright, faint]))
    depth = Depth([bright])
    read_pictures([bright], GRAY, depth)
    assert depth.notes() == []


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
def test_of_16_bits_the_upper_8_are_kept(tmp_path, name):
    deep = np.uint16([[0, 255], [256 * 7 + 255, 65535]])
    if name == "x.pgm":
        (tmp_path / name).write_bytes(b"P5 2 2 65535\n" + deep.astype(">u2").tobytes())
    else:
        saved(tmp_path, deep, name)
    assert read_picture(tmp_path / name, GRAY).tolist() == [[[0, 0], [7, 255]]]
    assert read_picture(tmp_path / name, COLOUR).tolist() == [[[0, 0], [7, 255]]] * 3


def test_of_16_bit_colours_the_upper_8_are_kept(tmp_path):
    pixels = np.uint16([[[511, 512, 65535]] * 2] * 2).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    (tmp_path / "x.png").write_bytes(png(2, 2, bits=16, rows=rows))
    assert read_picture(tmp_path / "x.png", COLOUR)[:, 0, 0].tolist() == [1, 2, 255]


def test_cmyk(tmp_path):
    image = PIL.Image.new("CMYK", (2, 2), (255, 0, 0, 0))
    assert read_picture(saved(tmp_path, image, "x.tif"), COLOUR)[:, 0, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_modes_without_an_8_bit_meaning(tmp_path, mode):
    file = saved(tmp_path, PIL.Image.new(mode, (2, 2)), "x.tif")
    refused(file, f"mode {mode} is not supported; save it with 8 bits")


def test_the_first_frame_is_taken(tmp_path):
    frames = [PIL.Image.new("L", (2, 2), value) for value in (30, 200)]
    file = saved(tmp_path, frames[0], "x.gif", save_all=True, append_images=frames[1:])
    assert attribute(file, "n_frames") == 2
    assert read_picture(file, GRAY).ravel().tolist() == [30] * 4


# Geometry


def test_exif_orientation_is_applied(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be seen turned by 90 degrees clockwise
    file = saved(tmp_path, L, exif=exif)
    assert read_picture(file, GRAY).tolist() == [[[3, 1], [250, 2]]]


def test_the_centre_is_cropped(tmp_path):
    wide = np.arange(14, dtype=np.uint8).reshape(2, 7)
    assert read_picture(saved(tmp_path, wide), GRAY).tolist() == [[[2, 3], [9, 10]]]
    tall = wide.reshape(7, 2)
    assert read_picture(saved(tmp_path, tall), GRAY).tolist() == [[[4, 5], [6, 7]]]


def test_reducing_is_antialiased(tmp_path):
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    image = read_picture(saved(tmp_path, board.astype(np.uint8)), Images(1, 8, 8))
    assert image.shape == (1, 8, 8)
    assert set(image.ravel().tolist()) <= {127, 128}


def test_resizing_keeps_what_is_where(tmp_path):
    ramp = np.zeros((64, 64, 3), np.uint8)
    ramp[..., 0] = 2 * np.arange(64)
    ramp[..., 1] = 3 * np.arange(64)[:, np.newaxis]
    ramp[..., 2] = 77
    image = read_picture(saved(tmp_path, ramp), Images(3, 8, 8)).astype(int)
    middles = 8 * np.arange(1, 7) + 3.5  # inside, away from the edges
    inner = image[:, 1:-1, 1:-1]
    assert np.abs(inner[0] - 2 * middles).max() <= 1
    assert np.abs(inner[1] - 3 * middles[:, np.newaxis]).max() <= 1
    assert set(image[2].ravel().tolist()) == {77}
    larger = read_picture(saved(tmp_path, ramp), Images(3, 128, 128)).astype(int)
    middles = (np.arange(12, 116) + 0.5) / 2 - 0.5
    assert np.abs(larger[0, 12:-12, 12:-12] - 2 * middles).max() <= 1


def test_the_filter_is_lanczos(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    centre = PIL.Image.fromarray(colours[:, 5:25])
    expected = np.asarray(centre.resize((7, 7), PIL.Image.Resampling.LANCZOS))
    file = saved(tmp_path, colours)
    assert np.array_equal(read_picture(file, Images(3, 7, 7)), expected.transpose(2, 0, 1))
    assert np.array_equal(read_picture(file, Images(1, 7, 7))[0], luma(expected))


# What is refused


def test_a_text(tmp_path):
    (tmp_path / "x.png").write_text("not a picture")
    refused(tmp_path / "x.png", "cannot be read as a picture (cannot identify image file)")


def test_an_empty_file(tmp_path):
    (tmp_path / "x.png").touch()
    refused(tmp_path / "x.png", "cannot be read as a picture (cannot identify image file)")


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.gif", "x.bmp"])
def test_a_truncated_picture(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    file = saved(tmp_path, noise, name)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    refused(file, "cannot be read as a picture (")


def test_a_format_that_runs_programs_is_not_even_tried(tmp_path):
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 2\n")
    refused(tmp_path / "x.png", "cannot be read as a picture (cannot identify image file)")


@pytest.mark.parametrize("side", [8193, 12000])
def test_a_large_picture(tmp_path, side):
    (tmp_path / "x.png").write_bytes(png(side, side))
    limit = "the maximum, 67108864"
    refused(tmp_path / "x.png", f"{side} x {side} pixels are more than {limit}")
    assert MAX_PIXELS == 67108864 < PIL.Image.MAX_IMAGE_PIXELS


def test_a_huge_picture(tmp_path):
    (tmp_path / "x.png").write_bytes(png(20000, 20000))
    refused(
        tmp_path / "x.png",
        "cannot be read as a picture (Image size (400000000 pixels) exceeds limit of",
    )


def test_the_limit_does_not_depend_on_pillows_setting(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(png(20000, 20000))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)
    refused(tmp_path / "x.png", "20000 x 20000 pixels are more than the maximum")
    assert PIL.Image.MAX_IMAGE_PIXELS is None
