"""Damaged, mixed-up and hostile folders are refused, and nothing in them runs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil

import numpy as np
import pytest
from safetensors.numpy import load, save

from harness.store.records import manifest_bytes
from oodbench import BenchError, Detector


def read(folder):
    value = json.loads((folder / "detector.json").read_bytes())
    del value["sha256"]
    return value


def rewrite(folder, value, **files):
    """Replace files, with checksums that match: a stranger can write these too."""
    for name, content in files.items():
        name = name.replace("__", ".").replace("_", "-")
        (folder / name).write_bytes(content)
        value["files"][name] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
    (folder / "detector.json").write_bytes(manifest_bytes(**value))


def refused(folder, message, error=BenchError, **options):
    with pytest.raises(error, match=message):
        Detector.load(folder, device="cpu", **options)


def npy(array, pickled=False):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


def test_every_file_is_verified(copy):
    names = {path.name for path in copy.iterdir()}
    assert set(read(copy)["files"]) == names - {"detector.json"}
    for name in names:
        content = (copy / name).read_bytes()
        place = len(content) // 2
        changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        for damage in (changed, content[:-1], content + b"}"):
            (copy / name).write_bytes(damage)
            refused(copy, f"{name} is damaged")
        (copy / name).unlink()
        refused(copy, f"{name} (cannot be read|does not exist)")
        (copy / name).write_bytes(content)
    Detector.load(copy, device="cpu")


def test_a_folder_without_a_detector(tmp_path):
    refused(tmp_path, "is no detector: .*detector.json does not exist")
    refused(tmp_path / "nowhere", "is no detector")


@pytest.mark.parametrize("name", ["detector.json", "model-0.safetensors"])
def test_no_link_is_followed(copy, tmp_path, name):
    shutil.move(copy / name, tmp_path / "outside")
    (copy / name).symlink_to(tmp_path / "outside")
    refused(copy, f"{name} is a link")


def test_no_pipe_is_read(copy):
    (copy / "model-0.safetensors").unlink()
    os.mkfifo(copy / "model-0.safetensors")
    refused(copy, "model-0.safetensors is not a file")


@pytest.mark.parametrize(
    "name", ["../model-0.safetensors", "/etc/passwd", "a/b", "..", "a\x1b[2J"]
)
def test_no_file_outside_is_named(copy, name):
    value = read(copy)
    value["files"][name] = value["files"]["model-0.safetensors"]
    rewrite(copy, value)
    refused(copy, "is not a valid file name")
    value = read(copy)
    del value["files"][name]
    value["inputs"]["models"][0]["weights"] = name
    rewrite(copy, value)
    refused(copy, "which is not among its files")


def test_another_format_and_unknown_keys_are_refused(copy):
    value = read(copy)
    value["inputs"]["format"] = 2
    rewrite(copy, value)
    refused(copy, r"detector.json: format 2 is newer than the formats .* \(up to 1\)")
    for changes, message in (
        ({"format": 0}, "format: Input should be 1"),
        ({"format": 1, "code": "import os"}, "code: Extra inputs are not permitted"),
        ({"group_size": 0}, "group_size: Input should be greater than or equal to 1"),
        ({"inputs": {"log_prob": 7}}, "there is no statistic number 7"),
        ({"domain": {"channels": 1, "height": 2**20, "width": 2**20}}, "domain: .*dimensions"),
        ({"domain": {"depth": 1}}, "domain: .*depth"),
    ):
        changed = {**value, "inputs": {**read(copy)["inputs"], "format": 1, **changes}}
        rewrite(copy, changed)
        refused(copy, f"detector.json: {message}")
        rewrite(copy, value)


def test_deep_nesting_is_refused(copy):
    (copy / "detector.json").write_text("[" * 100_000)
    refused(copy, "detector.json is damaged")


def test_a_deeply_nested_member_is_refused(copy, made):
    folder, _ = made.detector("both")
    value = read(folder)
    scorer = value["inputs"]["scorer"]
    for _ in range(220):
        scorer = {**scorer, "members": {"scorers": [scorer]}}
    value["inputs"]["scorer"] = scorer
    (copy / "detector.json").write_bytes(manifest_bytes(**{**value, "files": {}}))
    refused(copy, "detector.json")


class Malice:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("name", ["fit_statistics_0__npy", "calibration_scores__npy"])
def test_no_object_is_unpickled(copy, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rewrite(copy, read(copy), **{name: npy(np.array([Malice()], object), pickled=True)})
    refused(copy, "Python objects, and bench never loads these")
    rewrite(copy, read(copy), **{name: pickle.dumps(Malice())})
    refused(copy, "cannot be read as an array")
    assert not (tmp_path / "ran").exists()


def test_weights_are_never_unpickled(copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rewrite(copy, read(copy), model_0__safetensors=pickle.dumps(Malice()))
    refused(copy, "cannot be read as safetensors")
    assert not (tmp_path / "ran").exists()


def test_declared_sizes_allocate_nothing(copy):
    content = npy(np.zeros(3)).replace(b"(3,), }          ", b"(999999999999,), }", 1)
    assert b"999999999999" in content
    rewrite(copy, read(copy), calibration_scores__npy=content)
    refused(copy, "header declares|cannot be read as an array")
    header = {"w": {"dtype": "F32", "shape": [10**9, 10**6], "data_offsets": [0, 4 * 10**15]}}
    text = json.dumps(header).encode()
    weights = len(text).to_bytes(8, "little") + text
    rewrite(copy, read(copy), model_0__safetensors=weights)
    refused(copy, "array|safetensors")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 1)), r"finite scores of shape \(n,\)"),
        (np.zeros(0), "finite scores"),
        (np.array([1.0, np.nan]), "finite scores"),
        (np.zeros(3, np.float32), "has values of float32, not float64"),
    ],
)
def test_calibration_scores_must_be_scores(copy, array, message):
    rewrite(copy, read(copy), calibration_scores__npy=npy(array))
    refused(copy, message)


def test_weights_of_another_model_are_refused(copy, made):
    other, _ = made.detector("two-models")
    weights = sorted(path for path in other.glob("*.safetensors"))
    same = (copy / "model-0.safetensors").read_bytes()
    (another,) = (x.read_bytes() for x in weights if x.read_bytes() != same)
    rewrite(copy, read(copy), model_0__safetensors=another)
    refused(copy, "model-0.safetensors: the tensors do not match the model .missing: .*unexpected")
    doubles = save({name: tensor.astype(np.float64) for name, tensor in load(same).items()})
    rewrite(copy, read(copy), model_0__safetensors=doubles)
    refused(copy, "differing: .*float64 in the file and .*float32 in the model")


def test_statistics_of_another_detector_are_refused(copy, made):
    other = (made.detector("gradient-gaussian")[0] / "fit-statistics-0.npy").read_bytes()
    rewrite(copy, read(copy), fit_statistics_0__npy=other)
    refused(copy, r"fit-statistics-0.npy has shape .* but there are 1 columns")
    values = np.load(made.detector("typicality")[0] / "fit-statistics-0.npy")
    rewrite(copy, read(copy), fit_statistics_0__npy=npy(2 * values))
    refused(copy, "gives other scores than where the detector was made, with python .*numpy")


def test_fit_examples_of_another_size_are_refused(made, tmp_path):
    folder = shutil.copytree(made.detector("fisher-diagonal")[0], tmp_path / "copy")
    rewrite(folder, read(folder), fit_examples_0__npy=npy(np.zeros((3, 1, 9, 9), np.uint8)))
    refused(folder, r"fit-examples-0.npy: found uint8 of shape \(3, 1, 9, 9\)")
    value = read(folder)
    value["inputs"]["statistics"][0]["examples"] = None
    rewrite(folder, value)
    refused(folder, "lacks examples to fit it to")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plugin": "typicalit"}, r"no scorer 'typicalit' \(did you mean 'typicality'"),
        (
            {"version": "0"},
            r"scorer 'typicality' is version 1 \(oodbench\) here, but .* version 0",
        ),
        ({"distribution": "other"}, r"made with version 1 \(other\)"),
        ({"options": {"path": "/etc/passwd"}}, "does not take its options: path: unknown option"),
        ({"plugin": "likelihood-ratio", "options": {"background": "x"}}, "reads log_prob, log_p"),
    ],
)
def test_other_plugins_versions_and_options_are_refused(copy, changes, message):
    value = read(copy)
    value["inputs"]["scorer"] |= changes
    rewrite(copy, value)
    refused(copy, message)


def test_code_is_named_again_and_its_content_must_be_the_same(made, tmp_path):
    folder, _ = made.detector("distance")
    code = made.folder / "distance.py"
    assert not [path for path in folder.iterdir() if b"def score" in path.read_bytes()]
    refused(folder, r"contains no code: name the file with -p \(version [0-9a-f]{12}\)")
    (tmp_path / "distance.py").write_text(code.read_text() + "# another\n")
    refused(
        folder,
        r"scorer 'distance' is version [0-9a-f]{12} \(file\) here, but the detector was made with",
        plugins=[str(tmp_path / "distance.py")],
    )
    shutil.copy(code, tmp_path / "distance.py")
    Detector.load(folder, plugins=[str(tmp_path / "distance.py")], device="cpu")


PATHS = """
from pathlib import Path
from oodbench import Entry, hookimpl


@hookimpl
def bench_scorers():
    return [Entry("by-file", ":ByFile", "reads a file")]


class ByFile:
    inputs = ("log_prob",)

    def __init__(self, path: Path = Path("/etc/hostname")):
        self.text = path.read_text()
"""


def test_options_that_name_files_are_refused(copy, tmp_path):
    (tmp_path / "by_file.py").write_text(PATHS)
    value = read(copy)
    version = hashlib.sha256(PATHS.encode()).hexdigest()[:12]
    other = {"plugin": "by-file", "version": version, "distribution": "file", "options": {}}
    value["inputs"]["scorer"] |= other
    rewrite(copy, value)
    message = "scorer 'by-file' reads files or data sets named in its options .*/etc/hostname"
    refused(copy, message, plugins=[str(tmp_path / "by_file.py")])
