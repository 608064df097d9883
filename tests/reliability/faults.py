"""Faults of every kind in runs of a tiny suite, and what the next run makes of them.

    python tests/reliability/faults.py --kills 300 --corruptions 200

After each fault the same command is run again. It must end with the report of an undisturbed run;
or with a clear error, and then with that report once the cause is mended. A report in between may
lack numbers, but may not hold a wrong one. Prints the table of faults: kind, where, times tried,
outcome; and what went wrong, if anything did.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

SPEC = importlib.util.spec_from_file_location("forked", Path(__file__).with_name("forked.py"))
forked = importlib.util.module_from_spec(SPEC)
sys.modules["forked"] = forked
SPEC.loader.exec_module(forked)

SUITE = """
[training.brief]
learning_rate = 1e-3
minibatch = 64
examples = 256

[models.flow]
plugin = "glow"
options = { levels = 1, steps = 1, width = 4 }
training = "brief"

[datasets.digits]
plugin = "digits"

[datasets.noise]
plugin = "noise"
options = { n_train = 10, n_test = 40 }

[[comparisons]]
models = "flow"
in = "digits"
out = "noise"
epochs = [0, 2]
group_sizes = [1, 5]
scorers = ["log-likelihood", "typicality", "gradient-gaussian"]
n_in = 30
n_fit = 30
n_out = 30
"""
RUN = ("run", "suite.toml", "--workers", "1", "--threads", "1", "--display", "none")
WORK = ("work", "suite.toml", "--until-done", "--threads", "1", "--display", "none")
REPORT = ("report", "suite.toml", "--format", "json")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
RESUME = "interrupted; to resume: bench {} suite.toml"
AGAIN = "progress is stored, so start the same command again"
PREEMPTED = 75
CLEAN = (0, 1, 2, 4, 74, 130)


class Wrong(Exception):
    """What must not happen."""


@dataclass
class Table:
    """How often each kind of fault was tried where, and what came of it."""

    counts: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, kind: str, where: str, outcome: str) -> None:
        """One fault."""
        self.counts[kind, where, outcome] += 1

    def tried(self, *kinds: str) -> int:
        """How many faults of some kinds there were."""
        return sum(n for (kind, _, _), n in self.counts.items() if kind in kinds)

    def __str__(self) -> str:
        rows = [("kind", "where", "times", "outcome")]
        for (kind, where, outcome), count in sorted(self.counts.items()):
            rows.append((kind, where, str(count), outcome))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


class Faults:
    """An undisturbed run, and faults to compare with it.

    Arguments:
        root: An empty folder.
        seed: Of all that is chosen at random.
    """

    def __init__(self, root: Path, seed: int) -> None:
        forked.preload()
        self.root = root
        self.random = random.Random(seed)
        self.table = Table()
        self.sound = self._new("sound")
        done = forked.bench(
            self.sound, *RUN, fault=forked.record_writes(self.sound, root / "writes")
        )
        assert done.status == 0, done.errors
        self.rows = forked.bench(self.sound, *REPORT).rows
        assert {row["status"] for row in self.rows} == {"ok"}
        self.writes = Counter((root / "writes").read_text().splitlines())
        self.half = self._half_done()

    def _new(self, name: str, like: Path | None = None) -> Path:
        folder = self.root / name
        if like is not None:
            shutil.copytree(like, folder)
        else:
            folder.mkdir()
            (folder / "suite.toml").write_text(SUITE)
        return folder

    def _half_done(self) -> Path:
        """A run that was killed in its second epoch, with a rolling state."""
        folder = self._new("half")
        kill = forked.at_write(
            folder, "rename store/rolling", 6, lambda: forked.strike(signal.SIGKILL)
        )
        forked.bench(folder, *RUN, fault=kill)
        assert list(folder.glob("store/rolling/*/step-*"))
        return folder

    @contextmanager
    def folder(self, like: Path | None = None) -> Iterator[Path]:
        """A folder for one fault, kept if something goes wrong."""
        folder = self._new(f"fault-{time.monotonic_ns()}", like)
        try:
            yield folder
        except Wrong as error:
            self.table.wrong.append(f"{error} (in {folder.name})")
            print("WRONG:", error, folder, flush=True)
        else:
            shutil.rmtree(folder)

    def must_end_well(self, folder: Path, what: str) -> None:
        """The next run and its report are those of an undisturbed one."""
        done = forked.bench(folder, *RUN)
        if done.status != 0:
            raise Wrong(f"{what}: the next run ended with {done.status}: {done.errors[-1500:]}")
        self.must_report_the_same(folder, what)

    def must_report_the_same(self, folder: Path, what: str) -> None:
        """All results are those of an undisturbed run."""
        done = forked.bench(folder, *REPORT)
        if done.status != 0 or done.rows != self.rows:
            raise Wrong(f"{what}: another report, status {done.status}: {done.errors[-1500:]}")

    def must_be_clear(self, done: forked.Done, what: str) -> str:
        """A command ended well or with a clear error; says which."""
        if done.status < 0 or done.status not in CLEAN or "Traceback" in done.errors:
            raise Wrong(f"{what}: ended with {done.status}: {done.errors[-1500:]}")
        if done.status == 0:
            return "went on"
        if not done.errors.strip() and not done.output.strip():
            raise Wrong(f"{what}: ended with {done.status} without a word")
        return f"clear error, exit {done.status}"

    def must_not_lie(self, folder: Path, what: str) -> None:
        """A report of what is there lacks numbers at most."""
        done = forked.bench(folder, *REPORT)
        self.must_be_clear(done, f"{what}: report")
        sound = {_cell(row): row for row in self.rows}
        for row in done.rows if done.output.strip() else []:
            expected = sound[_cell(row)]
            if row["status"] == "ok" and row != expected and row != _without_bits(expected, row):
                raise Wrong(f"{what}: a wrong number: {row}")

    # Kills: several in a row on one store, then the run that ends.

    def kill_cycle(self, kinds: list[str], kills: int) -> None:
        """Kill a run and those that follow it, at writes of the given kinds or at any time."""
        with self.folder() as folder:
            for _ in range(kills):
                label = kinds.pop() if kinds and self.random.random() < 0.7 else ""
                if not self._kill(folder, label):
                    break
            self.must_end_well(folder, "after kills")

    def _kill(self, folder: Path, label: str) -> bool:
        """One kill; whether it came before the run was done."""
        number = self.random.choice(SIGNALS)
        if label:
            nth = self.random.randint(1, min(3, self.writes[label]))
            fault = forked.at_write(folder, label, nth, lambda: forked.strike(number))
        else:
            fault = forked.after_seconds(self.random.uniform(0.02, 0.6), number)
        command = self.random.choice([RUN, WORK])
        done = forked.bench(folder, *command, fault=fault)
        name = signal.Signals(number).name
        where = f"{command[0]}, {label or f'any time, in {done.phase}'}"
        if done.status == 0:
            if done.struck and command == RUN:  # a worker may be done before it looks
                raise Wrong(f"{name} at {where} was not heard: {done.errors[-1500:]}")
            return False
        if number == signal.SIGKILL:
            if done.status not in (-signal.SIGKILL, -signal.SIGPROF):
                raise Wrong(f"{name} at {where}: {done.status}: {done.errors[-1500:]}")
        elif not self._ended_in_order(done, command, number):
            raise Wrong(f"{name} at {where}: {done.status}: {done.errors[-1500:]}")
        if "Traceback" in done.errors:
            raise Wrong(f"{name} at {where}: {done.errors[-1500:]}")
        self.table.add(name, where, "resumed, same report")
        return True

    def _ended_in_order(self, done: forked.Done, command: tuple, number: int) -> bool:
        """Whether a command that was asked to end says how to go on."""
        if done.status == PREEMPTED and command == WORK and number == signal.SIGTERM:
            return AGAIN in done.errors
        return done.status == 130 and RESUME.format(command[0]) in done.errors

    def torn_write(self) -> None:
        """The process ends in the middle of a write, half of which is on disk."""
        with self.folder(self.random.choice([None, self.half])) as folder:
            limit = forked.file_limit(self.random.choice([1, 100, 700, 2000, 5000, 9000]), True)
            done = forked.bench(folder, *RUN, fault=limit)
            if done.status == 0:
                return
            if done.status != -signal.SIGXFSZ:
                raise Wrong(f"torn write: {done.status}: {done.errors[-1500:]}")
            self.must_end_well(folder, "torn write")
            where = f"mid-write, in {done.phase}"
            self.table.add("SIGXFSZ", where, "resumed, same report")

    # Corruptions of what is stored.

    def corrupt(self) -> None:
        """Damage one file of a finished or half finished run."""
        like = self.random.choice([self.sound, self.sound, self.half])
        with self.folder(like) as folder:
            files = [
                path
                for area in ("store", "data")
                for path in sorted((folder / area).rglob("*"))
                if path.is_file()
            ]
            kinds: dict[str, list[Path]] = {}
            for path in files:
                kinds.setdefault(_kind(folder, path), []).append(path)
            where = self.random.choice(sorted(kinds))
            path = self.random.choice(kinds[where])
            kind = self._damage(path)
            if kind is None:
                return
            what = f"{kind} of {path.relative_to(folder)}"
            self.must_not_lie(folder, what)
            outcome = self.must_be_clear(forked.bench(folder, *RUN), what)
            if outcome != "went on":
                self.must_end_well(folder, what)  # the obvious mending is to run it again
            else:
                self.must_report_the_same(folder, what)
            self.table.add(kind, where, f"{outcome}, same report")

    def _damage(self, path: Path) -> str | None:
        content = bytearray(path.read_bytes())
        kind = self.random.choice(["bit flipped", "bit flipped", "cut short", "emptied", "gone"])
        if kind == "gone":
            path.unlink()
            return kind
        if not content:
            return None
        if kind == "bit flipped":
            content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
        else:
            del content[0 if kind == "emptied" else self.random.randrange(len(content)) :]
        path.write_bytes(bytes(content))
        return kind

    # Surroundings that fail.

    def too_large(self) -> None:
        """A write fails half way, as of a file that may not grow."""
        with self.folder(self.random.choice([None, self.half])) as folder:
            size = self.random.choice([1500, 2500, 5000, 9000])  # what it prints is a file too
            done = forked.bench(folder, *RUN, fault=forked.file_limit(size, False))
            outcome = self.must_be_clear(done, f"files of {size} bytes at most")
            self.must_end_well(folder, f"after files of {size} bytes at most")
            where = f"at {size} bytes"
            self.table.add("EFBIG", where, f"{outcome}, then same report")

    def full_disk(self) -> None:
        """A file system of some kilobytes, later enlarged."""
        kilobytes = self.random.choice([4, 16, 40, 80, 120, 160, 240, 320])

        def fill(folder: Path) -> str:
            forked.mount("none", str(folder), "tmpfs", 0, f"size={kilobytes}k")
            (folder / "suite.toml").write_text(SUITE)
            self_check = f"a disk of {kilobytes} KB"
            done = _bench_outside(folder, *RUN)
            outcome = self.must_be_clear(done, self_check)
            forked.mount("none", str(folder), "tmpfs", forked.MS_REMOUNT, "size=64m")
            self.must_end_well(folder, f"after {self_check}")
            return outcome

        self._within_mounts("ENOSPC", f"disk of {kilobytes} KB", fill, None)

    def read_only(self) -> None:
        """The store, or the data, or both on a file system that cannot be written."""
        areas = self.random.choice([("store",), ("data",), ("store", "data")])
        like = self.random.choice([self.half, self.sound])

        def protect(folder: Path) -> str:
            for area in areas:
                path = str(folder / area)
                forked.mount(path, path, "", forked.MS_BIND)
                flags = forked.MS_REMOUNT | forked.MS_BIND | forked.MS_RDONLY
                forked.mount("none", path, "", flags)
            what = f"read-only {' and '.join(areas)}"
            self.must_not_lie(folder, what)
            if like == self.sound:
                self.must_report_the_same(folder, what)
            outcome = self.must_be_clear(forked.bench(folder, *RUN), what)
            for area in areas:
                forked.unmount(str(folder / area))
            self.must_end_well(folder, f"after {what}")
            return outcome

        where = f"{' and '.join(areas)}, {like.name}"
        self._within_mounts("read-only", where, protect, like)

    def _within_mounts(
        self, kind: str, where: str, test: Callable[[Path], str], like: Path | None
    ) -> None:
        """Run a test in a process with mounts of its own."""
        with self.folder(like) as folder:
            result = self.root / "result"
            child = os.fork()
            if child == 0:
                try:
                    forked.own_mounts()
                    text = json.dumps(["ok", test(folder)])
                except Wrong as error:
                    text = json.dumps(["wrong", str(error)])
                except OSError as error:
                    text = json.dumps(["skipped", str(error)])
                result.write_text(text)
                os._exit(0)
            os.waitpid(child, 0)
            state, text = json.loads(result.read_text())
            if state == "wrong":
                raise Wrong(text)
            outcome = f"{text}, then same report" if state == "ok" else f"skipped: {text}"
            self.table.add(kind, where, outcome)

    def removed_under_a_run(self) -> None:
        """Something of the store or the data vanishes while a run is at work."""
        with self.folder(self.random.choice([None, self.half])) as folder:
            label = self.random.choice(sorted(self.writes))
            choice = self.random.random()
            found = []

            def remove() -> None:
                paths = [path for area in ("store", "data") for path in (folder / area).rglob("*")]
                if paths:
                    path = sorted(paths)[int(choice * len(paths))]
                    found.append(path)
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

            done = forked.bench(folder, *RUN, fault=forked.at_write(folder, label, 1, remove))
            outcome = self.must_be_clear(done, f"something removed at {label}")
            self.must_end_well(folder, f"after something was removed at {label}")
            self.table.add("removed", f"at {label}", f"{outcome}, then same report")

    def clock_set_back(self) -> None:
        """Files from the future, and a clock that says 2001 or jumps about."""
        with self.folder(self.random.choice([self.half, self.sound])) as folder:
            for path in folder.rglob("*"):
                os.utime(path, (2.5e9, 2.5e9))
            jumps = self.random.random() < 0.5
            source = random.Random(1)

            def set_back() -> None:
                time.time = lambda: source.uniform(0, 2e9) if jumps else 1e9

            done = forked.bench(folder, *RUN, fault=set_back)
            outcome = self.must_be_clear(done, "clock set back")
            self.must_end_well(folder, "after the clock was set back")
            where = "jumps about" if jumps else "set back to 2001"
            self.table.add("clock", where, f"{outcome}, same report")


def _bench_outside(folder: Path, *arguments: str) -> forked.Done:
    """A command whose own output does not go to the disk that is full."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        outside = Path(name)
        for area in ("store", "data", "suite.toml"):
            (outside / area).symlink_to(folder / area)
        (folder / "store").mkdir(exist_ok=True)
        (folder / "data").mkdir(exist_ok=True)
        return forked.bench(outside, *arguments)


def _without_bits(sound: dict, row: dict) -> dict:
    """The sound row with the doubt of a report that has lost the bits per dimension."""
    bits = {name: None for name in ("bits_per_dim_in", "bits_per_dim_out", "ovl")}
    notes = [
        note for note in row["provenance"]["notes"] if note.startswith("bits/dim are unknown: ")
    ]
    provenance = sound["provenance"] | {"notes": sound["provenance"]["notes"] + notes[:1]}
    return sound | (bits if notes else {}) | {"provenance": provenance}


def _cell(row: dict) -> tuple:
    names = ("model", "in", "out", "scorer", "epoch", "group_size", "seed")
    return tuple(row[name] for name in names)


def _kind(folder: Path, path: Path) -> str:
    """Such as `store/checkpoints model.safetensors`."""
    parts = path.relative_to(folder).parts
    named = path.suffix in (".safetensors", ".npy", ".npz") or path.name == "manifest.json"
    return f"{parts[0]}/{parts[1]}" + (f" {path.name}" if named else "")


KILLS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGXFSZ")
CORRUPTIONS = ("bit flipped", "cut short", "emptied", "gone")


def run_all(faults: Faults, kills: int, corruptions: int, others: int) -> None:
    """So many faults of each kind, at every kind of write at least once."""
    rest = (faults.too_large, faults.full_disk, faults.read_only, faults.removed_under_a_run)
    for fault in (*rest, faults.clock_set_back):
        for _ in range(others):
            fault()
        _show(faults, 0)
    kinds: list[str] = []
    turn = 0
    while faults.table.tried(*KILLS) < kills:
        if len(kinds) < 4:
            fresh = sorted(faults.writes)
            faults.random.shuffle(fresh)
            kinds += fresh
        turn += 1
        if turn % 4 == 0:
            faults.torn_write()
        else:
            faults.kill_cycle(kinds, 4)
        _show(faults, turn)
    while faults.table.tried(*CORRUPTIONS) < corruptions:
        faults.corrupt()
        _show(faults, faults.table.tried(*CORRUPTIONS))


def _show(faults: Faults, turn: int) -> None:
    if turn % 20 == 0:
        table = faults.table
        kills, damages = table.tried(*KILLS), table.tried(*CORRUPTIONS)
        print(f"{kills} kills, {damages} corruptions, {len(table.wrong)} wrong", flush=True)


def main() -> None:
    """Try faults and print their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--corruptions", type=int, default=200)
    parser.add_argument("--others", type=int, default=15, help="of each other kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where; kept in case of a mistake")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(dir=arguments.folder))
    faults = Faults(root, arguments.seed)
    with suppress(KeyboardInterrupt):  # what was tried so far counts
        run_all(faults, arguments.kills, arguments.corruptions, arguments.others)
    print(faults.table)
    table = faults.table
    print(f"{table.tried(*KILLS)} kills, {table.tried(*CORRUPTIONS)} corruptions", end=", ")
    print(f"{table.counts.total()} faults in all; {len(table.wrong)} wrong")
    print("\n".join(table.wrong))
    if not table.wrong:
        shutil.rmtree(root)
    sys.exit(1 if table.wrong else 0)


if __name__ == "__main__":
    main()
