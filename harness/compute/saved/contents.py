"""Contents of weight files: tensors and plain values, read without running any code."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from harness.errors import DataError, is_out_of_memory
from harness.suite.file_sums import forget
from harness.suite.saved import SavedEpochs
from harness.suite.weight_files import INDEX, TENSORS, weight_files, weights_content
from harness.text import short

SAFE_FROM = (2, 10)
"""Version of torch from which `weights_only` is safe: before, a file could still run code
(CVE-2025-32434, CVE-2026-24747)."""


def read_weights(saved: SavedEpochs, seed: int, epoch: int, content: str) -> Any:
    """Read the values in the files of a saved epoch.

    Every file is read once and as a whole, so a change in the meantime does no harm.

    Arguments:
        saved: The files of a model.
        seed: Seed of the training.
        epoch: Number of the epoch or step.
        content: Content of the files according to the plan.

    Returns:
        Tensors on the CPU and plain values, nested as in the file.

    Raises:
        DataError: A file is damaged, changed since the plan was made, or holds other objects.
    """
    path = saved.paths[seed, epoch]
    try:
        contents = {file: file.read_bytes() for file in weight_files(path)}
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error
    sums = {file.name: hashlib.sha256(data).hexdigest() for file, data in contents.items()}
    if weights_content(sums) != content:
        for file in contents:
            forget(file)
        raise DataError(f"{path} changed while this command was running: run it again")
    (first, *parts) = contents
    if not first.name.endswith(INDEX):
        return _values(first, contents[first], saved.table.state)
    merged: dict[str, Any] = {}
    named: Mapping[str, str] = json.loads(contents[first])["weight_map"]
    for part in parts:
        values = _values(part, contents[part], "")
        for name in (name for name, file in named.items() if file == part.name):
            if name not in values:
                raise DataError(f"{part} lacks the tensor {short(name)}, named in {first.name}")
            merged[name] = values[name]
    return merged


def _values(path: Path, content: bytes, state: str) -> Any:
    if path.suffix in TENSORS:
        try:
            return safetensors.torch.load(content)
        except Exception as error:
            raise DataError(f"{path} is damaged: {short(str(error))}") from error
    if tuple(map(int, torch.__version__.split(".")[:2])) < SAFE_FROM:
        raise DataError(
            f"{path}: a file of torch.save is read with torch 2.10 or newer, because a file could "
            f"run code before (this is {torch.__version__}); or convert it to safetensors: "
            f"{_conversion(path, state, safe=True)}"
        )
    _check_sizes(path, content)
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        if is_out_of_memory(error):
            raise DataError(f"{path} declares more than fits into memory") from error
        raise DataError(_explained(path, content, state, error)) from error


def _check_sizes(path: Path, content: bytes) -> None:
    """Refuse an archive whose content is larger than the archive: torch never compresses."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            declared = sum(item.file_size for item in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if declared > len(content):
        raise DataError(f"{path} has {len(content):,} bytes and declares {declared:,}")


def _explained(path: Path, content: bytes, state: str, error: Exception) -> str:
    """Explain why a file of torch.save was not read: objects in it, or damage."""
    try:
        objects = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content)))
    except Exception:
        objects = []
    if objects:
        shown = ", ".join(objects[:5]) + (", …" if len(objects) > 5 else "")
        return (
            f"{path} holds objects besides tensors and plain values: {shown}. Reading them would "
            "run code from the file, so the file is refused. If you trust it, convert it: "
            f"{_conversion(path, state, safe=False)}"
        )
    if "TorchScript" in str(error):
        return (
            f"{path} is a TorchScript program, which is not run: save the state dict of the module"
        )
    return f"{path} is damaged or no file of torch.save: {short(str(error))}"


def _conversion(path: Path, state: str, *, safe: bool) -> str:
    """Write the two lines that convert a file."""
    entry = f'["{state or "state_dict"}"]'
    load = f'weights = torch.load("{path}", map_location="cpu", weights_only={safe}){entry}'
    target = path.with_suffix(".safetensors" if safe else ".weights.pt")
    save = "safetensors.torch.save_file" if safe else "torch.save"
    other = "with the entry that has the weights, or .state_dict() of a whole model"
    return f'{load}; {save}(weights, "{target}") ({other})'
