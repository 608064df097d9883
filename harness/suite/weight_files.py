"""Weights on disk: the files that hold them, in a folder or alone, and their content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from harness.errors import DataError
from harness.suite.file_sums import sha256_of
from harness.text import short

TENSORS, PICKLED = (".safetensors",), (".pt", ".pth", ".ckpt", ".bin", ".tar")
INDEX = ".index.json"
IN_FOLDERS = ("model.safetensors", "diffusion_pytorch_model.safetensors", "pytorch_model.bin")
"""Weights in folders of transformers, accelerate and diffusers, each also in parts with an index;
the first one present is read."""

OTHER_FOLDERS = {
    "*.distcp": "a distributed checkpoint of torch: python -m "
    "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE.pt converts it",
    "pytorch_model_fsdp_*": "sharded weights of accelerate: accelerate merge-weights FOLDER "
    "OUTPUT converts them",
    "zero_to_fp32.py": "a checkpoint of DeepSpeed: the script zero_to_fp32.py inside converts it",
    "*zero_pp_rank_*": "a checkpoint of DeepSpeed: zero_to_fp32.py of DeepSpeed converts it",
    "adapter_model.*": "an adapter of peft: merge_and_unload() and save_pretrained() make a model",
    "_CHECKPOINT_METADATA": "a checkpoint of orbax, which is not read: save it as safetensors",
}
"""Folders without such a file, by a name inside, with the way out."""

OTHER_FILES = {
    ".pkl": "a pickle can run code: save the state dict with torch.save to a .pt file",
    ".pickle": "a pickle can run code: save the state dict with torch.save to a .pt file",
    ".msgpack": "weights of flax are not read: save them as safetensors",
    ".h5": "weights of Keras are not read: save them as safetensors",
    ".npz": "arrays without a model are not read: save them as safetensors",
}
MOST_INDEX = 100_000_000
"""Maximum number of bytes in an index of files."""


def weight_files(path: Path) -> list[Path]:
    """List the files with the weights of one epoch; an index comes before its parts.

    Arguments:
        path: File, index, or folder of transformers, accelerate or diffusers.

    Raises:
        DataError: There are no weights in a known form; says how to convert them where known.
    """
    if path.is_dir():
        return _in_folder(path)
    if path.name.endswith(INDEX):
        return [path, *_parts(path)]
    known = (*TENSORS, *PICKLED)
    if path.suffix not in known:
        why = OTHER_FILES.get(path.suffix, f"read are {', '.join(known)} and folders with them")
        raise DataError(f"{path}: no known form of weights: {why}")
    return [_regular(path)]


def weights_content(files: Mapping[str, str]) -> str:
    """Combine the sha256 of files to one for the weights of an epoch.

    Arguments:
        files: sha256 by name, in the order of `weight_files`.
    """
    if len(files) == 1:
        return next(iter(files.values()))
    listing = "".join(f"{name}\0{found}\0" for name, found in files.items())
    return hashlib.sha256(listing.encode()).hexdigest()


def stored_content(path: Path) -> str:
    """Return the content of the weights at a path, as `weights_content`.

    Raises:
        DataError: The files cannot be read, or are in no known form.
    """
    try:
        return weights_content({file.name: sha256_of(file) for file in weight_files(path)})
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error


def part_sums(path: Path) -> dict[str, Path]:
    """Return the files of weights in several parts by their sha256; empty for a single file.

    Raises:
        DataError: The files cannot be read, or are in no known form.
    """
    parts = [file for file in weight_files(path) if not file.name.endswith(INDEX)]
    if len(parts) < 2:
        return {}
    try:
        return {sha256_of(file): file for file in parts}
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error


def _in_folder(folder: Path) -> list[Path]:
    for name in IN_FOLDERS:
        if (folder / name).exists():
            return [_regular(folder / name)]
        if (folder / (name + INDEX)).exists():
            return [folder / (name + INDEX), *_parts(folder / (name + INDEX))]
    for pattern, why in OTHER_FOLDERS.items():
        if any(folder.glob(pattern)) or any(folder.glob(f"*/{pattern}")):
            raise DataError(f"{folder}: {why}")
    raise DataError(f"{folder}: no weights inside: none of {', '.join(IN_FOLDERS)}")


def _parts(index: Path) -> list[Path]:
    """List the files named by an index, all in the same folder."""
    try:
        if _regular(index).stat().st_size > MOST_INDEX:
            raise ValueError(f"an index has at most {MOST_INDEX:,} bytes")
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:
        raise DataError(f"{index}: not an index of weight files ({short(str(error))})") from error
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[\w][\w.+-]*", name):
            raise DataError(f"{index}: {short(name)} is no name of a file in the same folder")
        if not name.endswith((*TENSORS, *PICKLED)):
            raise DataError(f"{index}: {short(name)} is no file of weights")
    return [_regular(index.parent / name) for name in names]


def _regular(path: Path) -> Path:
    """Refuse what is not a file: reading from a pipe or a device may never end."""
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise DataError(f"{path} {what}")
    return path
