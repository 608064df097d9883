"""A data set made of another one."""

from __future__ import annotations

import re

import numpy as np
import pytest

from harness.registry.options import dataset_options, validate_options
from oodbench import DataError, HasNotes, HasStamp, Images, Tokens
from plugins.datasets.transformed import Transformed


class Source:
    """Two examples of 3x2x4 at 5 bits, all values different or nearly so."""

    domain = Images(3, 2, 4, bits=5)
    splits = ("test",)

    def load(self, split):
        if split != "test":
            raise DataError(f"no {split}")
        return (np.arange(48, dtype=np.uint8) % 31).reshape(2, 3, 2, 4)


class StampedSource(Source):
    def stamp(self):
        return "as of today"


def pixelwise(name, x):
    """The transformation, one pixel after the other."""
    n, channels, height, width = x.shape
    shape = (width, height) if name == "rotate-90" else (height, width)
    out = np.full((n, channels, *shape), 99, np.uint8)
    for i, c, row, column in np.ndindex(*x.shape):
        value = int(x[i, c, row, column])
        target = {
            "invert": (i, c, row, column),
            "reverse-bits": (i, c, row, column),
            "subtract-green": (i, c, row, column),
            "flip-horizontal": (i, c, row, width - 1 - column),
            "flip-vertical": (i, c, height - 1 - row, column),
            "rotate-90": (i, c, width - 1 - column, row),
            "rotate-180": (i, c, height - 1 - row, width - 1 - column),
            "shuffle-channels": (i, (c - 1) % channels, row, column),
        }[name]
        green = int(x[i, 1, row, column])
        out[target] = {
            "invert": 31 - value,
            "reverse-bits": int(f"{value:05b}"[::-1], 2),
            "subtract-green": value if c == 1 else (value - green + 16) % 32,
        }.get(name, value)
    return out


@pytest.mark.parametrize(
    "name",
    [
        "invert",
        "reverse-bits",
        "subtract-green",
        "flip-horizontal",
        "flip-vertical",
        "rotate-90",
        "rotate-180",
        "shuffle-channels",
    ],
)
def test_is_its_definition(name):
    dataset = Transformed(source=Source(), transform=name)
    original = Source().load("test")
    examples = dataset.load("test")
    assert np.array_equal(examples, pixelwise(name, original))
    assert examples.dtype == np.uint8
    assert examples.flags.c_contiguous
    assert examples.shape[1:] == dataset.domain.shape
    assert dataset.splits == ("test",)
    expected = Images(3, 4, 2, 5) if name == "rotate-90" else Source.domain
    assert dataset.domain == expected


def test_a_rotated_letter():
    class Letter(Source):
        domain = Images(1, 2, 3)

        def load(self, split):
            return np.uint8([[[[1, 2, 3], [4, 5, 6]]]])

    rotated = Transformed(source=Letter(), transform="rotate-90")
    assert rotated.load("test").tolist() == [[[[3, 6], [2, 5], [1, 4]]]]
    twice = Transformed(source=rotated, transform="rotate-90")
    assert twice.load("test").tolist() == [[[[6, 5, 4], [3, 2, 1]]]]
    assert twice.domain == Images(1, 2, 3)


def test_shuffled_colours():
    class Colour(Source):
        domain = Images(3, 1, 1)

        def load(self, split):
            return np.uint8([10, 20, 30]).reshape(1, 3, 1, 1)

    shuffled = Transformed(source=Colour(), transform="shuffle-channels")
    assert shuffled.load("test").ravel().tolist() == [20, 30, 10]


def test_changed_values_at_8_bits():
    """Of all 256 levels, and of differences beyond half of them on both sides."""

    class Levels(Source):
        domain = Images(3, 16, 16)

        def load(self, split):
            ramp = np.arange(256)
            return np.uint8([ramp, ramp[::-1], 0 * ramp]).reshape(1, 3, 16, 16)

    ramp = np.arange(256)
    reversed_bits = Transformed(source=Levels(), transform="reverse-bits").load("test")
    assert reversed_bits[0, 0].ravel().tolist() == [int(f"{v:08b}"[::-1], 2) for v in ramp]
    differences = Transformed(source=Levels(), transform="subtract-green").load("test")
    red, green, blue = differences[0].reshape(3, 256)
    assert np.array_equal((red.astype(int) + green - 128) % 256, ramp)
    assert np.array_equal((blue.astype(int) + green - 128) % 256, 0 * ramp)
    assert red[127:130].tolist() == [127, 129, 131]  # differences of -1, 1 and 3


def test_the_source_is_left_as_it_is(tmp_path):
    np.save(tmp_path / "x.npy", Source().load("test"))

    class Mapped(Source):
        def load(self, split):
            return np.load(tmp_path / "x.npy", mmap_mode="r")

    for name in ("invert", "rotate-90"):
        examples = Transformed(source=Mapped(), transform=name).load("test")
        assert np.array_equal(examples, pixelwise(name, Source().load("test")))
        assert type(examples) is np.ndarray
    assert np.array_equal(np.load(tmp_path / "x.npy"), Source().load("test"))


def test_one_channel_has_no_colours():
    class Gray(Source):
        domain = Images(1, 2, 4)

    for name, needs in (
        ("shuffle-channels", "at least 2 channels"),
        ("subtract-green", "3 channels: red, green and blue"),
    ):
        message = f"transformed: '{name}' needs {needs}"
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            Transformed(source=Gray(), transform=name)


def test_stamp_is_the_sources_where_it_has_one():
    plain = Transformed(source=Source(), transform="invert")
    stamped = Transformed(source=StampedSource(), transform="invert")
    assert not isinstance(plain, HasStamp)
    assert isinstance(stamped, HasStamp)
    assert stamped.stamp() == "as of today"
    assert isinstance(Transformed(source=stamped, transform="invert"), HasStamp)


def test_notes_are_the_sources_where_it_has_some():
    class Noted(Source):
        def notes(self):
            return ["1 file was passed over: 1 .heic"]

    assert not isinstance(Transformed(source=Source(), transform="invert"), HasNotes)
    noted = Transformed(source=Noted(), transform="invert")
    assert isinstance(noted, HasNotes)
    assert noted.notes() == ["1 file was passed over: 1 .heic"]


def test_errors_of_the_source_come_through():
    with pytest.raises(DataError, match=r"^no train$"):
        Transformed(source=Source(), transform="invert").load("train")


def test_options():
    assert dataset_options(Transformed) == ["source"]
    options = {"source": "digits", "transform": "invert"}
    assert validate_options(Transformed, options) == options


TEXT = b"To be, or not to be: that is the question. Whether it is nobler."


class Text(Source):
    """Windows of bytes."""

    domain = Tokens(16)

    def load(self, split):
        return np.frombuffer(TEXT, np.uint8).reshape(4, 16)


def transformed_text(name):
    dataset = Transformed(source=Text(), transform=name)
    assert dataset.domain == Text.domain
    examples = dataset.load("test")
    assert examples.dtype == np.uint8
    assert examples.flags.c_contiguous
    return [example.tobytes() for example in examples]


WINDOWS = [TEXT[start : start + 16] for start in range(0, 64, 16)]


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("repeat-phrase", lambda window: window[:8] * 2),
        ("upper-case", bytes.upper),
        ("reverse-words", lambda window: b" ".join(reversed(window.split(b" ")))),
    ],
)
def test_text_is_transformed_by_definition(name, definition):
    assert transformed_text(name) == [definition(window) for window in WINDOWS]


def test_bytes_are_shuffled_within_each_window():
    shuffled = transformed_text("shuffle-bytes")
    assert [sorted(window) for window in shuffled] == [sorted(window) for window in WINDOWS]
    assert not set(shuffled) & set(WINDOWS)
    assert transformed_text("shuffle-bytes") == shuffled
    orders = {bytes(map(window.index, one)) for one, window in zip(shuffled, WINDOWS, strict=True)}
    assert len(orders) == 4


def test_transformations_are_of_images_or_of_text():
    with pytest.raises(DataError, match=r"'upper-case' changes text in bytes, not 3x2x4 at 5"):
        Transformed(source=Source(), transform="upper-case")
    with pytest.raises(
        DataError, match=r"'invert' changes images, not 16 bytes; known for text: shuffle-"
    ):
        Transformed(source=Text(), transform="invert")

    class Words(Text):
        domain = Tokens(16, vocabulary=300)

    with pytest.raises(DataError, match=r"changes text in bytes, not 16 tokens of 300"):
        Transformed(source=Words(), transform="upper-case")
