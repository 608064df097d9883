"""The reader of arrays in pickles: what it reads, and that it runs nothing."""

from __future__ import annotations

import io
import os
import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oodbench import DataError
from plugins.datasets.published.pickles import read_pickled_arrays
from tests.unit.plugins.published_files import pixels, python_2_batch

PREFIX = "cannot be read as a pickle of arrays"


def read(folder: Path, content: bytes):
    file = folder / "batch"
    file.write_bytes(content)
    return read_pickled_arrays(file)


def refused(folder: Path, content: bytes, reason: str):
    file = folder / "batch"
    with pytest.raises(DataError, match=f"^{re.escape(f'{file}: {PREFIX} ({reason})')}$"):
        read(folder, content)


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_of_every_kind(tmp_path, protocol):
    arrays = {
        "data": pixels(3, 7),
        "floats": np.linspace(-1, 1, 6).reshape(2, 3),
        "big": np.arange(4, dtype=">i4"),
        "flags": np.array([True, False]),
        "fortran": np.asfortranarray(pixels(3, 4)),
    }
    others = {"labels": [1, 2], "names": ("a", b"b"), "deep": {"x": None, 3: 1.5}}
    found = read(tmp_path, pickle.dumps({**arrays, **others}, protocol))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_bytes_as_keys(tmp_path):
    found = read(tmp_path, pickle.dumps({b"data": pixels(2, 3)}, protocol=2))
    assert found["data"].tolist() == pixels(2, 3).tolist()


def test_a_pickle_of_python_2(tmp_path):
    rows = pixels(5, 3072)
    content = python_2_batch(rows)
    assert read(tmp_path, content).keys() == {"data"}
    assert np.array_equal(read(tmp_path, content)["data"], rows)
    # The hand-written bytes are what CIFAR-10's readers expect.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        usual = pickle.loads(content, encoding="bytes")
    assert np.array_equal(usual[b"data"], rows)
    assert usual[b"labels"] == [0, 1, 2, 3, 4]


class Call:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
def test_code_is_refused_and_not_run(tmp_path, protocol):
    witness = tmp_path / "ran"
    content = pickle.dumps({"data": Call(os.system, f"touch {witness}")}, protocol)
    refused(tmp_path, content, f"reference to {os.system.__module__}.system, which is not allowed")
    assert not witness.exists()


@pytest.mark.parametrize("name", ["builtins eval", "builtins getattr", "numpy load", "os system"])
def test_names_are_refused(tmp_path, name):
    module, attribute = name.split()
    content = f"c{module}\n{attribute}\n.".encode()
    refused(tmp_path, content, f"reference to {module}.{attribute}, which is not allowed")


def test_names_with_dots_are_refused(tmp_path):
    content = b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__init__.x\x93."
    refused(tmp_path, content, "reference to numpy.ndarray.__init__.x, which is not allowed")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            pickle.dumps({"a": np.array([1, "x"], object)}, 2),
            "an array does not contain plain numbers",
        ),
        (pickle.dumps({"a": np.array(["x"])}, 2), "an array has type '<U1'"),
        (
            pickle.dumps({"a": np.zeros(2, [("x", "u1"), ("y", "u1")])}, 2),
            "structured array types are not supported",
        ),
        (b"cnumpy\nndarray\n(K\x01tR.", "arrays must be created by `_reconstruct`"),
        (
            b"cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.",
            "the pickle changes the state of a named object",
        ),
        (
            b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.",
            "bytes with encoding 'hex' are not supported",
        ),
        (b"Pname\n.", "only arrays and plain containers are allowed"),
        (b"", "EOFError"),
        (b"\x80\x09.", "unsupported pickle protocol: 9"),
    ],
)
def test_what_is_no_plain_array_is_refused(tmp_path, content, reason):
    refused(tmp_path, content, reason)


@pytest.mark.parametrize(
    "content", [b"cnumpy\nndarray\n)\x81.", b"cnumpy\ndtype\n)}\x92.", b"(cnumpy\ndtype\no."]
)
def test_objects_made_in_other_ways_are_refused(tmp_path, content):
    with pytest.raises(DataError, match=PREFIX):
        read(tmp_path, content)


def test_a_damaged_file_asks_for_no_huge_table(tmp_path):
    found = read(tmp_path, b"}r\xff\xff\xff\xff.")
    assert found == {}


def test_an_array_that_says_more_than_it_holds(tmp_path):
    content = python_2_batch(pixels(2, 3072)).replace(b"J\x02\0\0\0", b"J\x03\0\0\0")
    refused(tmp_path, content, "cannot reshape array of size 6144 into shape (3,3072)")


def test_no_dictionary(tmp_path):
    file = tmp_path / "batch"
    message = f"{file}: not a dictionary with arrays"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        read(tmp_path, pickle.dumps([pixels(2, 2)], 2))


def test_missing(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_pickled_arrays(tmp_path / "batch")


CONTENT = pickle.dumps({b"data": pixels(2, 12), b"labels": [1, 2]}, protocol=2)


def reads_or_refuses(folder: Path, content: bytes):
    """The arrays, None where it is refused; no other error may come."""
    try:
        return read(folder, content)
    except DataError:
        return None


def test_truncated_anywhere(tmp_path):
    for length in range(len(CONTENT)):
        assert reads_or_refuses(tmp_path, CONTENT[:length]) is None


@settings(max_examples=200)
@given(st.integers(0, len(CONTENT) - 1), st.binary(min_size=1, max_size=4))
def test_damaged_anywhere(tmp_path_factory, place, damage):
    folder = tmp_path_factory.getbasetemp()
    content = CONTENT[:place] + damage + CONTENT[place + len(damage) :]
    reads_or_refuses(folder, content)


def test_the_standard_reader_would_have_run_it(tmp_path):
    """The refused pickle is a working one."""
    witness = tmp_path / "ran"
    pickle.load(io.BytesIO(pickle.dumps(Call(os.system, f"touch {witness}"), 2)))
    assert witness.exists()
