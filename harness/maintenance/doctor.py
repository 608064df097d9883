"""Examination of this machine before a run: each finding comes with advice.

Torch and torchvision are tested in a separate process, because an import of two mismatched
versions may crash the process.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from harness.errors import FolderError, PluginError
from harness.maintenance.sharing import examine_sharing, seen_by_another_process
from harness.registry.registered import KINDS
from harness.registry.registry import Registry
from harness.settings import default_data, processors
from harness.store.locks import is_on_network, lock_kind
from harness.store.records import find_unwritable, is_refusal
from harness.text import counted
from oodbench._installed import ADVICE, describe_changes, installed_files
from oodbench._names import FOLDER

State: TypeAlias = Literal["ok", "note", "bad"]
LITTLE_BYTES, FEW_BYTES = 10 * 10**9, 10**9
SECONDS = 120
CLOCK_SECONDS = 2.0
"""Difference between the clocks of the store and of this machine that is worth a note."""
LOCAL = "choose another folder with --store or $BENCH_STORE"
PYTHON = (3, 11)

PROBE = """
import importlib.metadata as metadata, json, re, sys
def tell(**found):
    print(json.dumps(found), flush=True)
def requirement():
    for text in metadata.requires("torchvision") or ():
        found = re.match(r"torch *[(]?== *([0-9.]+)", text)
        if found:
            return found.group(1)
try:
    import torch
    tell(torch=str(torch.__version__))
    tell(sum=float((torch.ones(2) @ torch.ones(2))), threads=torch.get_num_threads())
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    tell(devices=devices)
except BaseException as error:
    tell(torch_error=f"{type(error).__name__}: {error}")
try:
    tell(torchvision_wants=requirement())
except metadata.PackageNotFoundError:
    pass
tell(begun="torchvision")
try:
    import torchvision, torchvision.ops
    tell(torchvision=str(torchvision.__version__))
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    tell(kept=len(torchvision.ops.nms(boxes, torch.ones(1), 0.5)))
except BaseException as error:
    tell(torchvision_error=f"{type(error).__name__}: {error}")
"""


@dataclass(frozen=True)
class Finding:
    """Result of one examination: `bad` makes runs fail, `note` may make runs fail.

    Attributes:
        found: Observed state.
        advice: Recommended action; empty if no action is needed.
    """

    what: str
    state: State
    found: str
    advice: str = ""


def examine(store: Path, data: Path | None, requested: Sequence[str] = ()) -> Iterator[Finding]:
    """Run all examinations, quick ones first.

    Arguments:
        store: Store folder; the folder need not exist.
        data: Data folder; the folder need not exist. None for the default data folder.
        requested: Plugins requested on the command line.
    """
    yield _python()
    yield _folder("store", store, "choose another folder with --store or $BENCH_STORE")
    yield _data_folder(data)
    yield from locks_finding(store)
    yield from _plugins(requested)
    yield _files()
    probed = probe()
    yield torch_finding(probed)
    yield torchvision_finding(probed)
    yield _devices(probed)
    yield _threads(probed)


def _python() -> Finding:
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] < PYTHON:
        return Finding("python", "bad", found, f"bench needs Python {PYTHON[0]}.{PYTHON[1]}")
    return Finding("python", "ok", found)


def _data_folder(data: Path | None) -> Finding:
    what = "data folder"
    try:
        path = data or default_data()
    except FolderError as error:
        return Finding(what, "bad", str(error))
    return _folder(what, path, "choose another folder with --data or $BENCH_DATA")


def _folder(what: str, path: Path, elsewhere: str) -> Finding:
    """Check write permission and free space for a folder, leaving nothing behind.

    A folder that can only be read is not bad: runs read what is stored there.
    """
    there = _nearest(path)
    trial = there / f".bench-doctor-{uuid.uuid4().hex[:8]}"
    try:
        trial.write_bytes(b"trial")
        trial.unlink()
        free = shutil.disk_usage(there).free
    except OSError as error:
        is_read_only = is_refusal(error) and os.access(path, os.R_OK | os.X_OK)
        read = "can be read but " if is_read_only else ""
        found = f"{path}: {read}cannot be written ({error.strerror})"
        advice = f"change the permissions, or {elsewhere}"
        return Finding(what, "note" if is_read_only else "bad", found, advice)
    unwritable = find_unwritable(path)
    if unwritable is not None:
        found = f"{path}: {unwritable.name} in it cannot be written"
        return Finding(what, "note", found, f"change the permissions, or {elsewhere}")
    found = f"{path}: can be written, {free / 1e9:,.1f} GB free"
    if free < FEW_BYTES:
        return Finding(what, "bad", found, f"free some space, or {elsewhere}")
    if free < LITTLE_BYTES:
        advice = "large suites need more for weights; bench store gc lists unneeded files"
        return Finding(what, "note", found, advice)
    return Finding(what, "ok", found)


def locks_finding(
    store: Path, look: Callable[[Path], str] = seen_by_another_process
) -> Iterator[Finding]:
    """Check that workers on a store would see each other's locks and records.

    Arguments:
        store: Store folder; the folder need not exist. Nothing is found for one that is read-only.
        look: Returns what a second process sees.
    """
    kind, there = lock_kind(store), _nearest(store)
    trial = there / f".bench-doctor-{uuid.uuid4().hex[:8]}"
    try:
        trial.mkdir()
        seen = examine_sharing(trial, kind, look)
    except OSError:
        return
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    where = f"{kind} locks on {seen.file_system or 'an unknown file system'}"
    also = ", also by --workers and bench work: double work, but no wrong results"
    if not seen.sees_renames:
        yield Finding("locks", "bad", f"{where}: a rename is not seen by another process", LOCAL)
    elif not seen.sees_locks:
        other = "lease" if kind == "os" else "os"
        advice = f"bench run --locks {other}"
        yield Finding("locks", "note", f"{where}: not seen by another process{also}", advice)
    elif kind == "os" and is_on_network(there):
        advice = "bench run --locks lease, if several machines share the store"
        yield Finding(
            "locks", "note", f"{where}: seen on this machine, perhaps not on others", advice
        )
    else:
        yield Finding("locks", "ok", f"{where}: seen by another process")
    if abs(seen.clock_difference) > CLOCK_SECONDS:
        found = f"files of the store are {seen.clock_difference:+.0f} s off this machine's clock"
        yield Finding("clock", "note", found, "set the clocks by NTP; times in logs mislead")


def _nearest(path: Path) -> Path:
    """Return the path, or else the nearest folder above that exists."""
    above = [path.absolute(), *path.absolute().parents]
    return next(folder for folder in above if os.path.lexists(folder))


def _plugins(requested: Sequence[str]) -> Iterator[Finding]:
    """Check that each plugin and each entry can be loaded."""
    try:
        registry = Registry(requested)
    except PluginError as error:
        advice = "requested with -p; fix the plugin or leave it out"
        yield Finding("plugins", "bad", str(error), advice)
        return
    for broken in registry.broken:
        advice = f"fix or uninstall the plugin, or block it: -p no:{broken.source.plugin}"
        yield Finding(f"plugin {broken.source.plugin}", "bad", broken.reason, advice)
    for source in registry.blocked:
        yield Finding(f"plugin {source.plugin}", "note", "blocked on the command line")
    entries = [entry for kind in KINDS for entry in registry.entries(kind)]
    for source in registry.sources:
        own = [entry for entry in entries if entry.source == source]
        problems = []
        for entry in own:
            try:
                entry.load()
            except PluginError as error:
                problems.append(str(error))
        what = f"plugin {source.plugin}"
        if problems:
            advice = f"fix the plugin, or block it: -p no:{source.plugin}"
            yield Finding(what, "bad", "; ".join(problems), advice)
        else:
            found = f"{len(own)} entries, {source.distribution} {source.version}"
            yield Finding(what, "ok", found)


def _files() -> Finding:
    """Check that no other distribution has overwritten our files."""
    files = installed_files()
    if changes := describe_changes(files):
        return Finding("files", "bad", changes, ADVICE)
    if not files:
        return Finding("files", "ok", f"{FOLDER}, not installed from a wheel")
    return Finding("files", "ok", f"{counted(len(files), 'file')} in {FOLDER}, as installed")


def probe() -> dict[str, Any]:
    """Import torch and torchvision in a separate process.

    Returns:
        Facts printed by the process, and `ended`: a description of a crash or a timeout, otherwise
        empty.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", PROBE], capture_output=True, timeout=SECONDS, check=False
        )
        output, ended = done.stdout, _ending(done.returncode)
    except subprocess.TimeoutExpired as error:
        output, ended = error.stdout or b"", f"does not answer within {SECONDS} s"
    probed: dict[str, Any] = {"ended": ended}
    for line in output.splitlines():
        try:
            probed |= json.loads(line)
        except (ValueError, TypeError):
            continue  # other output, printed by an import
    return probed


def _ending(code: int) -> str:
    if code >= 0:
        return "" if code == 0 else f"ends the process with status {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    return f"ends the process with {name}"


def torch_finding(probed: dict[str, Any]) -> Finding:
    """Check that torch can be imported and multiplies correctly."""
    advice = "reinstall torch: https://pytorch.org/get-started/locally"
    if "torch_error" in probed:
        return Finding("torch", "bad", f"cannot be used: {probed['torch_error']}", advice)
    if "devices" not in probed and "begun" not in probed:
        return Finding("torch", "bad", f"the import {probed['ended']}", advice)
    return Finding("torch", "ok", str(probed.get("torch")))


def torchvision_finding(probed: dict[str, Any]) -> Finding:
    """Check that torchvision works with the installed torch."""
    torch, wants = str(probed.get("torch", "none")), probed.get("torchvision_wants")
    mine, theirs = torch.partition("+"), str(probed.get("torchvision", "")).partition("+")
    advice = (
        f"install the torchvision for torch {mine[0]}, both from the same source: "
        "https://pytorch.org/get-started/locally; only data set downloads need torchvision"
    )
    if wants and "torch" in probed and mine[0] != wants:
        problem = f"built for torch {wants}, but torch {torch} is installed"
    elif mine[2] and theirs[2] and mine[2] != theirs[2]:
        problem = f"built for {theirs[2]}, but torch for {mine[2]}"
    elif "torchvision_error" in probed:
        problem = f"cannot be used with torch {torch}: {probed['torchvision_error']}"
    elif "kept" not in probed:
        problem = f"the import {probed['ended'] or 'fails'}"
    else:
        return Finding("torchvision", "ok", str(probed["torchvision"]))
    return Finding("torchvision", "bad", problem, advice)


def _devices(probed: dict[str, Any]) -> Finding:
    gpus = [f"cuda:{number} {name}" for number, name in enumerate(probed.get("devices") or ())]
    shown = gpus or ["no GPU available to torch"]
    return Finding("devices", "ok", ", ".join(["cpu", *shown]))


def _threads(probed: dict[str, Any]) -> Finding:
    found = f"{processors()} processors, torch uses {probed.get('threads', '?')} threads"
    limit = os.environ.get("OMP_NUM_THREADS")
    if limit and limit != str(processors()):
        advice = "bench run --threads overrides the variable"
        return Finding("threads", "note", f"{found}, OMP_NUM_THREADS is {limit}", advice)
    return Finding("threads", "ok", found)
