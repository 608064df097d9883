"""`bench` in processes forked from this one, which has imported everything, and faults in them.

Importing torch takes longer than a tiny suite; a forked process has it already. It runs the real
command on real files. Faults strike it from within: at a write, which an audit hook sees before
it happens, or after some processor time.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import mmap
import os
import pkgutil
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

TRACEBACK = 99
PHASES = ["start", "conversion", "training", "statistics", "scoring", "results"]
phase = mmap.mmap(-1, 2)
"""Number of the phase that the forked process is in, and whether it was struck; shared with it."""


def preload() -> None:
    """Import all that a run needs, in this process, on one thread."""
    import torch
    import torch._dynamo

    import harness
    import plugins

    torch.set_num_threads(1)
    for package in (harness, plugins):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in ("safetensors.torch", "sklearn.datasets", "PIL.Image", "rich.console"):
        importlib.import_module(name)


@dataclass(frozen=True)
class Done:
    """How a command ended; a negative status is the signal that ended it."""

    status: int
    output: str
    errors: str
    phase: str
    struck: bool

    @property
    def rows(self) -> list[dict]:
        """The results that `bench report --format json` printed."""
        return json.loads(self.output)["results"]


def bench(folder: Path, *arguments: str, fault: Callable[[], None] | None = None) -> Done:
    """A command on the store and data below a folder, with a fault armed in its process."""
    phase[:] = b"\0\0"
    output, errors = folder / "output", folder / "errors"
    child = os.fork()
    if child == 0:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        streams = [os.open(path, flags, 0o600) for path in (output, errors)]
        _be_bench(folder, arguments, streams, fault)
    _, status = os.waitpid(child, 0)
    return Done(
        os.waitstatus_to_exitcode(status),
        output.read_text(),
        errors.read_text(errors="replace"),
        PHASES[phase[0]],
        bool(phase[1]),
    )


@dataclass(frozen=True)
class Running:
    """A command that is still at work, and what it prints."""

    pid: int
    output: TextIO
    errors: TextIO

    def wait(self) -> int:
        """Its status when it has ended; a negative one is the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def start(folder: Path, *arguments: str) -> Running:
    """Begin a command on the store and data below a folder."""
    (output, to_output), (errors, to_errors) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _be_bench(folder, arguments, [to_output, to_errors], None)
    os.close(to_output)
    os.close(to_errors)
    return Running(child, open(output), open(errors))


def _be_bench(folder, arguments, streams, fault) -> None:
    """Never returns."""
    import harness.compute.rolling

    status = TRACEBACK
    try:
        for number, stream in zip((1, 2), streams, strict=True):
            os.dup2(stream, number)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")
        os.environ |= {"BENCH_STORE": str(folder / "store"), "BENCH_DATA": str(folder / "data")}
        os.chdir(folder)
        sys.argv = ["bench", *arguments]
        _follow_phases()
        harness.compute.rolling.MINUTES = (
            0  # a rolling state at every step: as many writes as can be
        )
        if fault is not None:
            fault()
        from harness.cli import main

        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _follow_phases() -> None:
    import harness.compute.evaluate
    import harness.run.saved
    import harness.scoring.score
    from harness.compute.trainer import Training
    from harness.data.folder import DataFolder

    places = [
        (DataFolder, "_convert", "conversion"),
        (Training, "run_epoch", "training"),
        (harness.compute.evaluate, "evaluate", "statistics"),
        (harness.scoring.score, "score_plan", "scoring"),
        (harness.run.saved, "save_results", "results"),
    ]
    for owner, name, label in places:
        setattr(owner, name, _within(getattr(owner, name), PHASES.index(label)))


def _within(function, number):
    def wrapped(*arguments, **options):
        before, phase[0] = phase[0], number
        result = function(*arguments, **options)
        phase[0] = before
        return result

    return wrapped


def label_of(event: str, arguments: tuple, root: Path) -> str | None:
    """The kind of write that an audit event is, such as `open tmp/values.npy`."""
    if event == "open":
        path, _, flags = arguments
        writing = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        event = "open" if writing else "sync" if os.path.isdir(str(path)) else ""
    elif event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir"):
        path, event = arguments[1 if event == "os.rename" else 0], event.removeprefix("os.")
    elif event == "bench.fsync":
        path, event = os.readlink(f"/proc/self/fd/{arguments[0]}"), "fsync"
    else:
        return None
    if not event or not isinstance(path, str | os.PathLike):
        return None
    parts = Path(path).parts
    if parts[: len(root.parts)] != root.parts or len(parts) < len(root.parts) + 2:
        return None
    area, kind = parts[len(root.parts) : len(root.parts) + 2]
    name = Path(path).name if Path(path).suffix in (".safetensors", ".npy", ".npz") else ""
    name = "manifest.json" if Path(path).name.endswith("manifest.json") else name
    return f"{event} {area}/{kind}/{name}".rstrip("/")


def at_write(root: Path, label: str, number: int, act: Callable[[], None]) -> Callable[[], None]:
    """Arms: `act` just before the write of a kind with a number, counted from 1."""
    counts: Counter = Counter()

    def watch(found: str) -> None:
        counts[found] += 1
        if found == label and counts[found] == number:
            act()

    return lambda: on_writes(root, watch)


def record_writes(root: Path, into: Path) -> Callable[[], None]:
    """Arms: the kinds of all writes, a line each, into a file."""

    def arm() -> None:
        file = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        on_writes(root, lambda label: os.write(file, f"{label}\n".encode()))

    return arm


def on_writes(root: Path, watch: Callable[[str], None]) -> None:
    """Call `watch` with the kind of every write below a root, before it happens."""
    busy = []

    def hook(event: str, arguments: tuple) -> None:
        if busy:
            return
        busy.append(True)
        try:
            label = label_of(event, arguments, root)
            if label is not None:
                watch(label)
        finally:
            busy.pop()

    original = os.fsync

    def fsync(descriptor) -> None:  # no audit event of its own
        sys.audit("bench.fsync", descriptor if isinstance(descriptor, int) else -1)
        original(descriptor)

    os.fsync = fsync
    sys.addaudithook(hook)


def strike(number: int) -> None:
    """Send this process a signal."""
    phase[1] = 1
    os.kill(os.getpid(), number)


def after_seconds(seconds: float, number: int) -> Callable[[], None]:
    """Arms: a signal after some processor time; SIGKILL strikes within C code too."""

    def arm() -> None:
        if number == signal.SIGKILL:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process as SIGKILL does
        else:
            signal.signal(signal.SIGPROF, lambda *_: strike(number))
        signal.setitimer(signal.ITIMER_PROF, seconds)

    return arm


def file_limit(size: int, deadly: bool) -> Callable[[], None]:
    """Arms: no file may grow beyond a size; the write that would fails, or ends the process."""

    def arm() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return arm


NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18


def own_mounts() -> None:
    """Give this process a user and mount namespace of its own, where it may mount.

    Raises:
        OSError: The system does not allow that.
    """
    user, group = os.getuid(), os.getgid()
    _call("unshare", NEW_USER | NEW_MOUNTS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    texts = [text.encode() for text in (source, target, kind)]
    _call("mount", *texts, ctypes.c_ulong(flags), options.encode())


def unmount(target: str) -> None:
    """umount2(2) with MNT_DETACH."""
    _call("umount2", target.encode(), 2)


def _call(name: str, *arguments) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
