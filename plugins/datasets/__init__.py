"""Data sets. scikit-learn and Pillow are imported only when a data set is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from oodbench import Domain, Entry, Images, Tokens, hookimpl

ENTRIES = {
    "digits": ("digits:Digits", "scikit-learn's 1,797 handwritten digits, 1x8x8"),
    "photos": (
        "sklearn_photos:Photos",
        "Patches of scikit-learn's two photographs, a temple and a flower",
    ),
    "noise": ("noise:Noise", "Independent random pixels, uniform or gaussian"),
    "constant": ("constant:Constant", "Images of one gray value or one colour"),
    "transformed": (
        "transformed:Transformed",
        "Another data set changed: images inverted, flipped or rotated; text shuffled or repeated",
    ),
    "folder": (
        "folder:Folder",
        "Images from disk: a folder of pictures, .npy or .npz arrays, files in MNIST's format",
    ),
    "text-files": (
        "text.text_files:TextFiles",
        "Text from disk: windows of bytes from a folder of files or a pattern",
    ),
    "tokenized": (
        "text.tokenized:Tokenized",
        "Tokens of another data set's documents, by a tokenizer of the Hugging Face hub",
    ),
    "python-docs": (
        "text.python_docs:PythonDocs",
        "English text without a download: the topics of Python's help",
    ),
    "python-source": (
        "text.python_source:PythonSource",
        "Source code without a download: Python's standard library",
    ),
    "licences": (
        "text.licences:Licences",
        "Legal text without a download: licences of the packages that bench requires",
    ),
    "20newsgroups": (
        "text.published.twenty_newsgroups:TwentyNewsgroups",
        "Posts to 20 newsgroups, 11,314 + 7,532 texts",
    ),
    "imdb": ("text.published.imdb:Imdb", "Reviews of films, 25,000 + 25,000 texts"),
    "clinc150": (
        "text.published.clinc150:Clinc150",
        "Queries to an assistant, 15,000 + 4,500 in its scope, 100 + 1,000 outside",
    ),
    "rostd": (
        "text.published.rostd:Rostd",
        "Utterances to an assistant, 30,521 + 8,621 in its domain, 4,590 outside",
    ),
    "mnist": ("published.mnist:Mnist", "Handwritten digits, 1x28x28, 60,000 + 10,000"),
    "fashion-mnist": ("published.mnist:FashionMnist", "Clothes, 1x28x28, 60,000 + 10,000"),
    "kmnist": ("published.mnist:Kmnist", "Cursive Japanese characters, 1x28x28, 60,000 + 10,000"),
    "omniglot": (
        "published.omniglot:Omniglot",
        "Handwritten characters of 50 alphabets, 1x28x28, 19,280 + 13,180",
    ),
    "svhn": ("published.svhn:Svhn", "House numbers in street views, 3x32x32, 73,257 + 26,032"),
    "celeba": (
        "published.celeba:CelebA",
        "Faces, cropped and reduced to 3x32x32, 162,770 + 19,962",
    ),
    "cifar10": (
        "published.cifar10:Cifar10",
        "Small photographs in ten classes, 3x32x32, 50,000 + 10,000",
    ),
    "gtsrb": (
        "published.gtsrb:Gtsrb",
        "German traffic signs, resized to 3x32x32, 26,640 + 12,630",
    ),
    "imagenet32": (
        "published.imagenet32:Imagenet32",
        "ImageNet reduced to 3x32x32, 1,281,167 + 50,000",
    ),
}
"""Target in this package, and summary, by data set name."""
VERSIONS = {"folder": "2"}
"""Versions other than 1."""


@hookimpl
def bench_datasets() -> Iterable[Entry]:
    """Register the built-in data sets."""
    for name, (target, summary) in ENTRIES.items():
        yield Entry(name, f"{__name__}.{target}", summary, version=VERSIONS.get(name, "1"))


@hookimpl
def bench_inputs(paths: Sequence[Path], domain: Domain, resize: bool) -> Any:
    """Read pictures, texts and arrays for detectors."""
    from plugins.datasets.inputs import image_inputs, text_inputs

    if isinstance(domain, Tokens):
        return text_inputs(paths, domain, resize)
    return image_inputs(paths, domain, resize) if isinstance(domain, Images) else None
