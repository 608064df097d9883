"""A detector of text: windows of files, named by their bytes, with the stored scores."""

from __future__ import annotations

import csv
import io
import json
import random
import textwrap
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from typer.testing import CliRunner

import harness.report
from harness.cli.app import app
from harness.detectors.make import make_detector
from harness.domain import Tokens
from harness.run.run import run
from harness.suite import load_suite
from harness.suite.toml.files import shipped_suites
from oodbench import DataError, Detector
from plugins.datasets.inputs import text_inputs
from tests.places import settings_in
from tests.unit.detectors.test_scores import scored

LENGTH = 16
SCORERS = ("log-likelihood", "typicality", "gradient-gaussian", "zlib-size", "fisher-diagonal")
SUITE = f"""
    title = "Text"

    [training.counts]
    prepare_batches = 1000
    minibatch = 8
    precision = "float64"

    [models.bigram]
    plugin = "bigram"
    training = "counts"

    [datasets.words]
    plugin = "text-files"
    options = {{ path = "corpus", length = {LENGTH} }}

    [datasets.shuffled]
    plugin = "transformed"
    options = {{ source = "words", transform = "shuffle-bytes" }}

    [[comparisons]]
    models = "bigram"
    in = "words"
    out = "shuffled"
    epochs = [0]
    group_sizes = [1, 2]
    scorers = {list(SCORERS)}
    n_in = 30
    n_fit = 20
    n_out = 30
"""


class MadeOfText:
    """The folder with the suite, its corpus and its store; read by `scored` as `Made` is."""

    def __init__(self, folder):
        self.folder = folder
        rng = random.Random(0)
        (folder / "corpus").mkdir()
        for number in range(20):
            words = rng.choices(["the", "cat", "sat", "on", "a", "mat", "and", "saw"], k=60)
            (folder / f"corpus/{number}.txt").write_text(" ".join(words))
        (folder / "text.toml").write_text(textwrap.dedent(SUITE))
        self.settings = settings_in(folder)
        self.suite = load_suite(folder / "text.toml")
        run(self.suite, self.settings, lambda event: None)

    def detector(self, scorer, group_size=1):
        folder = self.folder / f"{scorer}-{group_size}"
        if not folder.exists():
            cell = {"scorer": scorer, "group_size": group_size}
            make_detector(self.suite, self.settings, cell, folder)
        return folder, Detector.load(folder, device="cpu")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return MadeOfText(tmp_path_factory.mktemp("text"))


def only(text, scorer, size):
    """The result of the suite's only OOD set, and the drawn windows of both sides."""
    ((_, result, sides),) = scored(text, scorer, size, epoch=0)
    return result, sides


@pytest.mark.parametrize("group_size", [1, 2])
@pytest.mark.parametrize("scorer", SCORERS)
def test_files_have_the_stored_scores_bit_for_bit(text, tmp_path, scorer, group_size):
    """The scored windows of the run, as texts of several lengths and as an array."""
    _, detector = text.detector(scorer, group_size)
    result, (in_, out) = only(text, scorer, group_size)
    (tmp_path / "in.txt").write_bytes(in_.tobytes())
    (tmp_path / "out").mkdir()
    (tmp_path / "out/0").write_bytes(out[:10].tobytes() + b"rest")
    (tmp_path / "out/1.md").write_bytes(out[10:].tobytes())
    np.save(tmp_path / "in.npy", in_)
    for path, expected in (
        ("in.txt", result.scores_in),
        ("in.npy", result.scores_in),
        ("out", result.scores_out),
    ):
        rows = list(detector.files([tmp_path / path]))
        assert [row.score for row in rows] == expected.tolist(), path
    assert detector(in_).scores.tolist() == result.scores_in.tolist()
    assert detector(in_[::-1]).scores.tolist() == detector(in_[::-1].copy()).scores.tolist()
    read_only = np.load(tmp_path / "in.npy", mmap_mode="r")
    assert detector(read_only).scores.tolist() == result.scores_in.tolist()
    assert (detector.calibration == result.scores_in).all()


def test_windows_are_named_by_their_bytes_and_groups_stay_in_a_file(text, tmp_path):
    _, detector = text.detector("typicality", 2)
    for name, size in (("a.txt", 5 * LENGTH + 3), ("b.txt", LENGTH), ("c.txt", 2 * LENGTH + 1)):
        (tmp_path / name).write_bytes(b"the cat sat on. " * 5 + b"end"[: size % LENGTH])
        with (tmp_path / name).open("r+b") as file:
            file.truncate(size)
    remarks = []
    rows = list(detector.files([tmp_path], remark=remarks.append))
    found = [
        (row.status, [name.removeprefix(f"{tmp_path}/") for name in row.inputs]) for row in rows
    ]
    assert found == [
        ("ok", ["a.txt[0:16]", "a.txt[16:32]"]),
        ("ok", ["a.txt[32:48]", "a.txt[48:64]"]),
        ("left_over", ["a.txt[64:80]"]),
        ("left_over", ["b.txt[0:16]"]),
        ("ok", ["c.txt[0:16]", "c.txt[16:32]"]),
    ]
    assert remarks == ["dropped: 4 bytes at the ends of files"]


def called(*words, status=0):
    done = CliRunner().invoke(app, ["detector", "run", *map(str, words), "--device", "cpu"])
    assert done.exit_code == status, done.output
    return done


def test_any_file_is_text_and_what_is_no_window_is_named(text, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    contents = {
        "binary": bytes(range(256))[: 3 * LENGTH],
        "no-utf8.txt": b"\xff\xfe\x80\xc3" * 4,
        "with\x1b[31m.txt": "ein Käfer, zwei".encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "short.txt").write_bytes(b"a" * (LENGTH - 1))
    (folder / "empty.txt").write_bytes(b"")
    (folder / ".hidden").write_bytes(b"a" * LENGTH)
    np.save(folder / "wide.npy", np.zeros((3, LENGTH), np.int64))
    np.save(folder / "long.npy", np.zeros((3, LENGTH + 1), np.uint8))
    np.save(folder / "none.npy", np.zeros((0, LENGTH), np.uint8))
    np.save(folder / "number.npy", np.uint8(3))
    place, detector = text.detector("gradient-gaussian")
    done = called(place, folder, folder / "gone", "--format", "json", status=1)
    value = json.loads(done.stdout)
    expected = [
        detector(np.frombuffer(content, np.uint8).reshape(-1, LENGTH)).scores
        for content in contents.values()
    ]
    assert [row["score"] for row in value["results"]] == np.concatenate(expected).tolist()
    problems = {row["inputs"][0]: row["problem"] for row in value["without_score"]}
    for name, problem in {
        "short.txt": ": found 15 bytes, a window has 16",
        "empty.txt": ": found 0 bytes, a window has 16",
        "wide.npy": ": found int64 of shape (3, 16), expected uint8 of shape (N, 16)",
        "long.npy": ": found uint8 of shape (3, 17), expected uint8 of shape (N, 16)",
        "none.npy": ": the array is empty",
        "number.npy": ": found uint8 of shape (1,), expected uint8 of shape (N, 16)",
        "gone": " does not exist",
    }.items():
        path = str(folder / name)
        assert problems.pop(path) == f"{path}{problem}"
        assert f"failed: {path}{problem}" in done.stderr
    assert not problems
    rows = list(
        csv.DictReader(io.StringIO(called(place, folder / "binary", "--format", "csv").stdout))
    )
    assert [row["input"] for row in rows] == [
        f"{folder}/binary[{start}:{start + LENGTH}]" for start in (0, 16, 32)
    ]


@pytest.mark.parametrize("format", ["table", "csv"])
def test_names_that_could_act_are_escaped(text, tmp_path, format):
    path = tmp_path / "with\x1b[31m.txt"
    path.write_bytes(b"the cat sat on a mat")
    done = called(text.detector("typicality")[0], path, "--format", format)
    assert "\x1b" not in done.output
    assert "with\\x1b[31m.txt[0:16]" in done.stdout


def test_text_is_not_resized(text, tmp_path):
    words = ["detector", "run", str(text.detector("typicality")[0]), str(tmp_path), "--resize"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, DataError)
    assert str(done.exception) == (
        "windows of text are not resized (this detector reads 16 bytes): leave --resize out"
    )


def test_tokens_that_are_no_bytes_are_read_from_arrays_only(tmp_path):
    domain = Tokens(4, vocabulary=1000)
    tokens = np.arange(12, dtype=np.uint16).reshape(3, 4)
    np.save(tmp_path / "x.npy", tokens)
    (tmp_path / "a.txt").write_bytes(b"abcdefg")
    items, remarks = text_inputs([tmp_path, tmp_path / "a.txt"], domain, False)
    assert remarks == [f"{tmp_path}: 1 file was passed over: 1 .txt"]
    (_, array), (_, document) = items
    names, found = array()
    assert names == [f"{tmp_path}/x.npy[{number}]" for number in range(3)]
    assert (found == tokens).all()
    with pytest.raises(DataError, match=r"a.txt: the detector reads 4 tokens of 1,000, as an arr"):
        document()


def test_the_readme_says_what_a_window_is(text):
    words = " ".join((text.detector("typicality")[0] / "README.md").read_text().split())
    assert "inputs like words: windows of 16 bytes, each input alone" in words
    assert "array of uint8 and shape (N, 16)" in words
    assert "windows of one file depend on one another" in words


GERMAN = """Der Hund lief über die Wiese, und das Kind sah ihm lange nach. Am Abend wurde es kalt,
also gingen beide nach Hause, wo die Großmutter eine Suppe gekocht hatte. Niemand sprach ein Wort,
bis der Löffel auf den Boden fiel und alle lachten. Später erzählte der Vater von früher, als die
Straße noch kein Pflaster hatte und jeder zu Fuß zur Arbeit ging. Draußen begann es zu schneien."""


def test_a_detector_of_documentation_flags_german(tmp_path):
    """Of groups of 5 windows at 0.05; the documentation's own are flagged as promised."""
    text = SUITE.replace(
        f'"text-files"\n    options = {{ path = "corpus", length = {LENGTH} }}',
        f'"python-docs"\n    options = {{ length = {LENGTH} }}',
    )
    text = text.replace("[1, 2]", "[5]").replace("n_in = 30", "n_in = 500")
    text = text.replace(str(list(SCORERS)), "'log-likelihood'")
    (tmp_path / "docs.toml").write_text(textwrap.dedent(text))
    suite, settings = load_suite(tmp_path / "docs.toml"), settings_in(tmp_path)
    run(suite, settings, lambda event: None)
    cell = {"scorer": "log-likelihood", "group_size": 5}
    make_detector(suite, settings, cell, tmp_path / "detector")
    detector = Detector.load(tmp_path / "detector", device="cpu")
    (tmp_path / "german.txt").write_text(GERMAN, encoding="utf-8")
    rows = [row for row in detector.files([tmp_path / "german.txt"]) if row.status == "ok"]
    assert np.mean([row.p_value <= 0.05 for row in rows]) > 0.8
    own = suite.datasets["words"].dataset.load("test")[:2000]
    assert detector(own).flags(0.05).mean() < 0.15


@pytest.mark.slow
def test_a_detector_of_the_text_quickstart_flags_german_and_source_code(tmp_path):
    """Of groups of 20 windows at 0.05, by the suite's transformer at its last epoch."""
    values = tomllib.loads((shipped_suites() / "text-quickstart.toml").read_text())
    values["comparisons"][0] |= {"out": "shuffled", "scorers": "min-k", "epochs": 4}
    values["comparisons"][0] |= {"group_sizes": [20], "n_in": 400, "n_fit": 400, "n_out": 400}
    (tmp_path / "text.toml").write_text(tomli_w.dumps(values))
    suite, settings = load_suite(tmp_path / "text.toml"), settings_in(tmp_path)
    run(suite, settings, lambda event: None)
    make_detector(suite, settings, {"scorer": "min-k"}, tmp_path / "detector")
    detector = Detector.load(tmp_path / "detector", device="cpu")
    (tmp_path / "german.txt").write_text(3 * GERMAN, encoding="utf-8")
    code = sorted(Path(harness.report.__path__[0]).glob("*.py"))
    for files in ([tmp_path / "german.txt"], code):
        rows = [row for row in detector.files(files) if row.status == "ok"]
        assert rows
        assert np.mean([row.p_value <= 0.05 for row in rows]) > 0.8, files
    own = suite.datasets["docs"].dataset.load("test")[:960]
    assert detector(own).flags(0.05).mean() < 0.25
