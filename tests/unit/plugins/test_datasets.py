"""What all data sets have in common."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from harness.registry.options import describe_options
from oodbench import DataError, Dataset, HasStamp, Images
from oodbench.testing import assert_conforms, check_dataset
from plugins.datasets import bench_datasets
from plugins.datasets.constant import Constant
from plugins.datasets.digits import Digits
from plugins.datasets.folder import Folder
from plugins.datasets.noise import Noise
from plugins.datasets.sklearn_photos import Photos
from plugins.datasets.text.licences import Licences
from plugins.datasets.text.python_docs import PythonDocs
from plugins.datasets.text.python_source import PythonSource
from plugins.datasets.text.text_files import TextFiles
from plugins.datasets.text.tokenized import Tokenized
from plugins.datasets.transformed import Transformed

IMAGES = ["digits", "photos", "noise", "constant", "transformed", "folder"]
INSTALLED = ["python-docs", "python-source", "licences"]
NAMES = [*IMAGES, "text-files", "tokenized", *INSTALLED]
TARGETS = [
    *(Digits, Photos, Noise, Constant, Transformed, Folder),
    *(TextFiles, Tokenized, PythonDocs, PythonSource, Licences),
]
BUILT = [
    Digits,
    Photos,
    lambda: Photos(photo="flower", size=5, channels=3, shrink=3, n_train=50, n_test=20),
    Noise,
    lambda: Noise(distribution="gaussian", channels=2, height=3, width=5, n_train=9, n_test=8),
    Constant,
    lambda: Constant(channels=3, height=2, width=4, n_train=300, n_test=200),
    lambda: Transformed(source=Digits(), transform="rotate-90"),
    lambda: Transformed(source=Digits(), transform="invert"),
]


def test_entries():
    entries = [entry for entry in bench_datasets() if ".published." not in entry.target]
    assert [entry.name for entry in entries] == NAMES
    assert {entry.name: entry.version for entry in entries} == dict.fromkeys(NAMES, "1") | {
        "folder": "2"
    }
    for entry, target in zip(entries, TARGETS, strict=True):
        module, _, attribute = entry.target.partition(":")
        assert getattr(import_module(module), attribute) is target
        assert entry.summary
        assert not entry.summary.endswith(".")


@pytest.mark.parametrize("target", TARGETS)
def test_every_option_has_its_meaning(target):
    for option in describe_options(target):
        assert option.meaning, option.name


def test_required_options():
    required = {
        name: [option.name for option in describe_options(target) if option.required]
        for name, target in zip(NAMES, TARGETS, strict=True)
    }
    assert required == {
        "digits": [],
        "photos": [],
        "noise": [],
        "constant": [],
        "transformed": ["source", "transform"],
        "folder": ["path", "size"],
        "text-files": ["length", "path"],
        "tokenized": ["length", "source", "tokenizer_file", "vocabulary"],
        **{name: [] for name in INSTALLED},
    }


@pytest.mark.parametrize("build", BUILT)
def test_conforms(build):
    assert_conforms(check_dataset(build))


@pytest.mark.parametrize("build", BUILT)
def test_is_a_dataset_without_files(build):
    assert isinstance(build(), Dataset)
    assert not isinstance(build(), HasStamp)
    assert build().splits == ("train", "test")


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("digits", Digits()),
        ("photos", Photos()),
        ("noise", Noise()),
        ("constant", Constant()),
        ("folder", Folder(path=Path("nowhere"), size=8)),
        ("digits", Transformed(source=Digits(), transform="invert")),
    ],
)
def test_unknown_split(name, dataset):
    message = f"{name} has no split 'valid'; it has 'train' and 'test'"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        dataset.load("valid")


def test_the_small_ones_share_a_domain():
    assert {Digits().domain, Photos().domain, Noise().domain, Constant().domain} == {
        Images(1, 8, 8)
    }


def test_importing_and_constructing_is_light():
    code = """
import sys
from importlib import import_module
from pathlib import Path
from plugins.datasets import bench_datasets
options = {
    "folder": {"path": Path("nowhere"), "size": 32},
    "photos": {"photo": "both", "channels": 3},
    "text-files": {"path": Path("nowhere"), "length": 8},
}
for entry in bench_datasets():
    module, _, attribute = entry.target.partition(":")
    target = getattr(import_module(module), attribute)
    if entry.name == "tokenized":
        path = {"tokenizer_file": Path("nowhere"), "vocabulary": 9, "length": 8}
        options["tokenized"] = {"source": built, **path}
    if entry.name == "transformed":
        options["transformed"] = {"source": built, "transform": "rotate-90"}
    built = target(**options.get(entry.name, {}))
    built.domain, built.splits
heavy = {"torch", "torchvision", "sklearn", "scipy", "PIL", "matplotlib"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stderr, done.stdout) == ("", "[]\n")


def test_the_hook_module_imports_no_numpy():
    code = "import sys, plugins.datasets; print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("build", BUILT)
def test_arrays_are_plain_and_writable(build):
    for split in ("train", "test"):
        examples = build().load(split)
        assert type(examples) is np.ndarray
        assert examples.flags.c_contiguous
        assert examples.flags.writeable
