"""Files as inputs: found, read one by one, grouped; those that cannot be read are named."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import NothingSelectedError
from oodbench import DataError, Detector
from plugins.datasets.folder import Folder


@pytest.fixture
def pictures(tmp_path):
    """Six gray pictures in two folders, with their pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)
    names = ["a/0.png", "a/1.png", "a/2.bmp", "b/3.png", "b/4.png", "b/deep/5.PNG"]
    for name, (image,) in zip(names, pixels, strict=True):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "pictures", names, pixels


def test_pictures_and_arrays_have_the_scores_of_their_pixels(made, pictures, tmp_path):
    folder, names, pixels = pictures
    _, detector = made.detector("gradient-gaussian")
    expected = detector(pixels).scores
    rows = list(detector.files([folder]))
    assert [row.inputs for row in rows] == [(str(folder / name),) for name in names]
    np.testing.assert_allclose([row.score for row in rows], expected, rtol=1e-6)
    np.save(tmp_path / "x.npy", pixels[:, 0])
    np.savez(tmp_path / "x.npz", pixels.transpose(0, 2, 3, 1))
    for path in (tmp_path / "x.npy", tmp_path / "x.npz"):
        rows = list(detector.files([path]))
        assert [row.inputs for row in rows] == [(f"{path}[{number}]",) for number in range(6)]
        np.testing.assert_allclose([row.score for row in rows], expected, rtol=1e-6)
        assert [row.p_value for row in rows] == detector(pixels).p_values.tolist()


def test_a_single_path_is_no_sequence_of_letters(made, pictures):
    folder, _, _ = pictures
    detector = made.detector("typicality")[1]
    expected = list(detector.files([folder]))
    assert len(expected) == 6
    for given in (str(folder), folder, (str(folder),), iter([folder])):
        assert list(detector.files(given)) == expected


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (3, "int"),
        (None, "NoneType"),
        (b"x", "bytes"),
        ([Path("x"), 3], "int in list"),
        (np.zeros((2, 1, 8, 8)), "ndarray in ndarray"),
    ],
    ids=["number", "none", "bytes", "mixed", "images"],
)
def test_what_is_no_path_is_refused(made, given, kind):
    with pytest.raises(DataError, match=f"expected a path, or a list of paths, not {kind};"):
        list(made.detector("typicality")[1].files(given))


def test_a_detector_says_what_it_is(made):
    assert repr(made.detector("typicality")[1]) == (
        "<Detector: typicality on flow at epoch 2, for 1x8x8, groups of 1, 30 calibration scores>"
    )


def test_groups_are_consecutive_files_of_a_folder(made, tmp_path):
    folder, detector = tmp_path / "pictures", made.detector("gradient-gaussian", 5)[1]
    pixels = np.random.default_rng(0).integers(0, 256, (15, 1, 8, 8), dtype=np.uint8)
    for number, (image,) in enumerate(pixels):
        place = folder / ("first" if number < 7 else "second")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:02}.png")
    (folder / "first" / "03a.png").write_text("broken")
    np.save(folder / "third.npy", pixels[:6])
    rows = list(detector.files([folder]))
    found = [(row.status, [Path(name).name for name in row.inputs]) for row in rows]
    numbers = [f"{number:02}.png" for number in range(15)]
    assert found == [
        ("failed", ["03a.png"]),
        ("ok", numbers[:5]),
        ("left_over", numbers[5:7]),
        ("ok", numbers[7:12]),
        ("left_over", numbers[12:]),
        ("ok", [f"third.npy[{number}]" for number in range(5)]),
        ("left_over", ["third.npy[5]"]),
    ]
    scores = [row.score for row in rows if row.status == "ok"]
    expected = [*detector(pixels[:5]).scores, *detector(pixels[7:12]).scores]
    np.testing.assert_allclose(scores, [*expected, expected[0]], rtol=1e-6)
    paths = sorted((folder / "second").iterdir())  # as a shell expands second/*.png
    assert [row.status for row in detector.files(paths)] == ["ok", "left_over"]


def test_another_size_names_file_and_sizes_and_is_converted_on_request(made, tmp_path):
    """The conversion is that of the data set `folder`, pixel by pixel."""
    rng, (_, detector) = np.random.default_rng(0), made.detector("gradient-gaussian")
    test = tmp_path / "in" / "test"
    test.mkdir(parents=True)
    pixels = rng.integers(0, 256, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(pixels[:, :, :3]).save(test / "colour.png")
    Image.fromarray(pixels[:8, :8]).save(test / "transparent.png")
    Image.fromarray(pixels[:, :, 0]).save(test / "wide.png")
    turned = Image.fromarray(pixels[:, :, 0])
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(test / "turned.jpg", exif=exif)
    expected = Folder(path=tmp_path / "in", size=8, channels=1).load("test")
    rows = list(detector.files([test], resize=True))
    np.testing.assert_allclose(
        [row.score for row in rows], detector(np.ascontiguousarray(expected)).scores, rtol=1e-6
    )
    problems = [row.problem for row in detector.files([test])]
    for name, size, problem in zip(
        ("colour.png", "transparent.png", "turned.jpg", "wide.png"),
        ("3x20x30", "4x8x8", "1x30x20", "1x20x30"),
        problems,
        strict=True,
    ):
        assert problem.startswith(f"{test / name}: found {size}, expected 1x8x8")
        assert "--resize (in Python resize=True) converts" in problem


def test_sixteen_bits_are_refused_because_their_depth_is_not_known(made, tmp_path):
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(tmp_path / "deep.png")
    (row,) = made.detector("typicality")[1].files([tmp_path / "deep.png"], resize=True)
    assert "a gray picture with 16 bits; save it with 8 bits" in row.problem


READER = """
import numpy as np
from oodbench import DataError, hookimpl


@hookimpl
def bench_inputs(paths, domain, resize):
    return [(str(path), lambda path=path: read(path, domain)) for path in paths], ["read as text"]


def read(path, domain):
    values = np.array(path.read_text().split(), {dtype})
    return [str(path)], values.reshape(-1, *{shape})
"""


@pytest.mark.parametrize(
    ("dtype", "shape", "problem"),
    [
        ("np.uint8", "domain.shape", ""),
        ("np.int64", "domain.shape", "found int64 of shape"),
        ("np.uint8", "(1, 4, 16)", "expected uint8 of shape (N, 1, 8, 8)"),
    ],
)
def test_a_plugin_reads_other_files(made, tmp_path, dtype, shape, problem):
    (tmp_path / "reader.py").write_text(READER.format(dtype=dtype, shape=shape))
    (tmp_path / "x.txt").write_text(" ".join(map(str, range(64))))
    folder, detector = made.detector("typicality")
    remarks = []
    reading = Detector.load(folder, plugins=[str(tmp_path / "reader.py")], device="cpu")
    (row,) = reading.files([tmp_path / "x.txt"], remark=remarks.append)
    assert remarks == ["read as text"]
    assert problem in row.problem
    if not problem:
        pixels = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
        assert row.score == pytest.approx(detector(pixels).scores[0])


def test_a_plugin_names_every_example(made, tmp_path):
    (tmp_path / "reader.py").write_text(READER.format(dtype="np.uint8", shape="domain.shape"))
    (tmp_path / "x.txt").write_text(" ".join(map(str, range(128))))
    folder, _ = made.detector("typicality")
    reading = Detector.load(folder, plugins=[str(tmp_path / "reader.py")], device="cpu")
    (row,) = reading.files([tmp_path / "x.txt"])
    assert row.problem == f"{tmp_path / 'x.txt'}: 1 name for 2 examples"


def called(*words, status=0):
    done = CliRunner().invoke(app, ["detector", "run", *map(str, words), "--device", "cpu"])
    assert done.exit_code == status, done.output
    return done


def test_the_command_prints_tables_csv_and_json(made, pictures):
    folder, _, pixels = pictures
    place, detector = made.detector("gradient-gaussian")
    found = detector(pixels)
    flags = (found.p_values <= 0.3).tolist()
    assert True in flags
    done = called(place, folder, "--alpha", 0.3)
    table = [line.split() for line in done.stdout.splitlines()]
    assert [row[3] for row in table[2:]] == ["yes" if flag else "no" for flag in flags]
    assert f"{sum(flags)} of 6 scores flagged (p <= 0.3)" in done.stderr
    assert "at most 29 % are, on average (30 calibration scores)" in done.stderr
    rows = list(csv.DictReader(io.StringIO(called(place, folder, "--format", "csv").stdout)))
    np.testing.assert_allclose([float(row["score"]) for row in rows], found.scores, rtol=1e-6)
    assert [float(row["p_value"]) for row in rows] == found.p_values.tolist()
    value = json.loads(called(place, folder, "--format", "json", "--alpha", 0.3).stdout)
    assert [row["flagged"] for row in value["results"]] == flags
    assert value["detector"]["scorer"] == "gradient-gaussian"


def test_unreadable_files_are_named_and_the_others_scored(made, pictures):
    folder, names, _ = pictures
    (folder / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "a" / "labels.csv").write_text("x")
    os.symlink(folder / "gone.png", folder / "a" / "link.png")
    bad = folder.parent / "bad.npy"
    np.save(bad, np.zeros((3, 9, 9), np.uint8))
    objects = folder.parent / "objects.npy"
    np.save(objects, np.array([{}], object), allow_pickle=True)
    words = [folder, folder / "none", bad, objects, "--format", "json"]
    done = called(made.detector("typicality")[0], *words, status=1)
    value = json.loads(done.stdout)
    assert len(value["results"]) == len(names)
    failed = {row["inputs"][0] for row in value["without_score"]}
    lost = {folder / "a" / "broken.png", folder / "a" / "link.png", folder / "none", bad, objects}
    assert failed == set(map(str, lost))
    for path in lost:
        assert f"failed: {path}" in done.stderr
    assert "; 5 files failed\n" in done.stderr
    text = called(made.detector("typicality")[0], *words[:-1], "csv", status=1).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["input"] for row in rows if not row["reason"]] == [
        row["inputs"][0] for row in value["results"]
    ]
    assert {row["input"]: row["reason"] for row in rows if not row["score"]} == {
        row["inputs"][0]: row["problem"] for row in value["without_score"]
    }
    assert f"{folder}: 1 file was passed over: 1 .csv" in done.stderr


def test_nothing_to_score_has_a_status_of_its_own(made, pictures, tmp_path):
    folder, _, _ = pictures
    place, _ = made.detector("gradient-gaussian", 5)
    words = ["detector", "run", str(place), str(folder), "--alpha", "0.3"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, NothingSelectedError)  # its exit status is 4
    assert "6 inputs left over: groups are 5 inputs of the same folder" in done.stderr
    (tmp_path / "empty").mkdir()
    done = called(place, tmp_path / "empty", "--alpha", 0.3, status=1)
    assert "no files to read found" in done.stderr


def test_the_level_is_checked_before_anything_is_read(made, pictures):
    folder, _, _ = pictures
    done = CliRunner().invoke(
        app,
        ["detector", "run", str(made.detector("typicality")[0]), str(folder), "--alpha", "0.01"],
    )
    assert "nothing can be flagged" in str(done.exception)


def test_make_prints_the_auroc_and_the_next_command(made, tmp_path):
    new = tmp_path / "new"
    words = ["--scorer", "typicality", "--epoch", "2", "--in", "digits", "-o", str(new)]
    places = ["--store", str(made.settings.store), "--data", str(made.settings.data)]
    done = CliRunner().invoke(app, ["detector", "make", str(made.path), *words, *places])
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["noise", "photos"]
    assert f"bench detector run {new} FILES" in done.stderr
    assert "the log-probability of flow is exact" in done.stderr
