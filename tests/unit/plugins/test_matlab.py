"""MATLAB files: SciPy writes them, and reads what our reader must read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from oodbench import DataError
from plugins.datasets.published.matlab import read_mat_array
from tests.unit.plugins.published_files import pixels


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", [(32, 32, 3, 5), (2, 1), (1, 3), (7, 5, 1500)])
def test_arrays_are_those_that_scipy_reads(tmp_path, compressed, shape):
    file = tmp_path / "a.mat"
    others = {"y": np.ones((3, 1)), "s": {"a": "text"}, "longer_name": pixels(9)}
    savemat(file, {**others, "X": pixels(*shape), "Z": others["y"]}, do_compression=compressed)
    assert np.array_equal(read_mat_array(file, "X"), loadmat(file)["X"])
    with pytest.raises(DataError, match="array 'W' not found"):
        read_mat_array(file, "W")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "value", [np.ones((2, 2)), np.ones((2, 2), np.int8), "text", {"a": 1}, 1j * np.ones((2, 2))]
)
def test_what_is_no_array_of_bytes_is_refused(tmp_path, compressed, value):
    savemat(tmp_path / "a.mat", {"X": value}, do_compression=compressed)
    with pytest.raises(DataError, match="cannot be read as a MATLAB file .*has class"):
        read_mat_array(tmp_path / "a.mat", "X")


@pytest.mark.parametrize("compressed", [False, True])
def test_every_cut_is_seen(tmp_path, compressed):
    buffer = io.BytesIO()
    savemat(buffer, {"X": pixels(4, 4, 3, 2)}, do_compression=compressed)
    content = buffer.getvalue()
    for length in range(len(content)):
        (tmp_path / "a.mat").write_bytes(content[:length])
        try:
            found = read_mat_array(tmp_path / "a.mat", "X")
        except DataError:
            continue
        assert np.array_equal(found, pixels(4, 4, 3, 2))  # only a checksum at the end is gone
        assert length > len(content) - 8
