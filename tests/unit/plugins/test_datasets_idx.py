"""The reader of MNIST's file format."""

from __future__ import annotations

import gzip
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oodbench import DataError
from plugins.datasets.idx import read_idx

PIXELS = bytes(range(24))
HEADER = bytes.fromhex("00000803 00000002 00000003 00000004")  # 2 images of 3 rows, 4 columns
IMAGES = np.arange(24).reshape(2, 3, 4).tolist()


def refused(file, message):
    with pytest.raises(DataError, match=f"^{re.escape(f'{file}: {message}')}$"):
        read_idx(file)


def test_plain(tmp_path):
    file = tmp_path / "t10k-images-idx3-ubyte"
    file.write_bytes(HEADER + PIXELS)
    images = read_idx(file)
    assert images.tolist() == IMAGES
    assert images.dtype == np.uint8
    assert isinstance(images, np.memmap)
    assert not images.flags.writeable


def test_compressed(tmp_path):
    file = tmp_path / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(HEADER + PIXELS))
    images = read_idx(file)
    assert images.tolist() == IMAGES
    assert images.dtype == np.uint8


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "shorter than an idx header for images"),
        (HEADER[:15], "shorter than an idx header for images"),
        (b"\x89PNG" + bytes(30), "not an idx file, the first bytes are 89 50 4e 47"),
        (
            b"\0\0\x0d\x03" + HEADER[4:] + PIXELS * 4,
            "not an idx file with 8-bit images: type 0x0d in 3 dimensions, not 0x08 in 3",
        ),
        (
            b"\0\0\x08\x01" + struct.pack(">I", 20) + bytes(20),
            "not an idx file with 8-bit images: type 0x08 in 1 dimensions, not 0x08 in 3",
        ),
        (
            HEADER + PIXELS[:-1],
            "the header declares 2 x 3 x 4 images, 24 bytes, but the file has 23",
        ),
        (
            HEADER + PIXELS + b"\0",
            "the header declares 2 x 3 x 4 images, 24 bytes, but the file has more",
        ),
        (HEADER, "the header declares 2 x 3 x 4 images, 24 bytes, but the file has 0"),
    ],
)
def test_not_what_it_should_be(tmp_path, suffix, content, message):
    file = tmp_path / f"images-ubyte{suffix}"
    file.write_bytes(gzip.compress(content) if suffix else content)
    refused(file, message)


def test_a_header_that_declares_terabytes(tmp_path):
    header = b"\0\0\x08\x03" + b"\xff" * 12
    file = tmp_path / "images-ubyte"
    file.write_bytes(header + PIXELS)
    sizes = "4294967295 x 4294967295 x 4294967295 images"
    refused(file, f"the header declares {sizes}, {(2**32 - 1) ** 3} bytes, but the file has 24")
    file = tmp_path / "images-ubyte.gz"
    file.write_bytes(gzip.compress(header + PIXELS))
    refused(file, f"too short for the {(2**32 - 1) ** 3:,} bytes declared by the header")


def test_the_limit_of_compression_is_not_set_too_low(tmp_path):
    shape = (1000, 100, 100)
    file = tmp_path / "images-ubyte.gz"
    header = b"\0\0\x08\x03" + struct.pack(">3I", *shape)
    file.write_bytes(gzip.compress(header + bytes(10**7), compresslevel=9))
    assert file.stat().st_size < 10**4
    assert read_idx(file).shape == shape


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("sizes", [(0, 3, 4), (2, 0, 4), (2**32 - 1, 2**32 - 1, 0)])
def test_without_pixels(tmp_path, suffix, sizes):
    file = tmp_path / f"images-ubyte{suffix}"
    content = b"\0\0\x08\x03" + struct.pack(">3I", *sizes)
    file.write_bytes(gzip.compress(content) if suffix else content)
    declared = " x ".join(map(str, sizes))
    refused(file, f"the file is empty, the header declares {declared} images")


def test_not_compressed_though_it_says_so(tmp_path):
    file = tmp_path / "images-ubyte.gz"
    file.write_bytes(HEADER + PIXELS)
    refused(file, "cannot be read (Not a gzipped file (b'\\x00\\x00'))")


def test_missing(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "images-ubyte")


def reads_or_refuses(file, content):
    """The images of a file, None where it is refused; no other error may come."""
    file.write_bytes(content)
    try:
        return read_idx(file)
    except DataError:
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


@settings(max_examples=150)
@given(content=st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(HEADER.__add__)))
def test_garbage_is_refused(folder, content):
    images = reads_or_refuses(folder / "garbage-ubyte", content)
    assert images is None or len(content) == 16 + images.size
    assert reads_or_refuses(folder / "garbage-ubyte.gz", content) is None


@settings(max_examples=100)
@given(sizes=st.tuples(*[st.integers(0, 2**32 - 1)] * 3), length=st.integers(0, 40))
def test_any_declared_size_is_compared_with_the_length(folder, sizes, length):
    content = b"\0\0\x08\x03" + struct.pack(">3I", *sizes) + bytes(length)
    fits = length > 0 and sizes[0] * sizes[1] * sizes[2] == length
    assert (reads_or_refuses(folder / "sizes-ubyte", content) is not None) == fits
    packed = gzip.compress(content)
    assert (reads_or_refuses(folder / "sizes-ubyte.gz", packed) is not None) == fits


@settings(max_examples=100)
@given(data=st.data())
def test_damaged_compression_is_refused(folder, data):
    content = bytearray(gzip.compress(HEADER + PIXELS))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        # Beyond the gzip header, whose time and name may be anything.
        content[data.draw(st.integers(10, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    images = reads_or_refuses(folder / "damaged-ubyte.gz", bytes(content))
    assert images is None or images.tolist() == IMAGES
