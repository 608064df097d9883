"""Damaged and hostile inputs for every parser: each must be read, or end in an error of ours.

    python tests/reliability/fuzz.py --count 100000

Input number i of a target depends on the seed, the target and i alone, so a finding is repeated
by `--target NAME --first i --count 1`. Each target runs in a process of its own with bounded
memory; an input that takes longer than `SECONDS` counts as one that hangs.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from harness.errors import BenchError  # noqa: E402
from tests.reliability.mutations import mutated  # noqa: E402
from tests.reliability.targets import TARGETS  # noqa: E402

SECONDS = 10
MEMORY = 6 * 2**30
"""Address space, in bytes: torch alone takes 4 GiB of it."""


class Hang(BaseException):
    """An input took too long."""


def source(seed: int, target: str, number: int) -> random.Random:
    """The random numbers that input `number` is made from."""
    return random.Random(f"{seed}/{target}/{number}")


def attack(name: str, numbers: range, folder: Path, seed: int = 0) -> Iterator[tuple[int, str]]:
    """Feed inputs to a target; yields the numbers of those that it did not take well, and why."""
    target = TARGETS[name](folder)
    for number in numbers:
        (folder / "at").write_text(str(number))
        chance = source(seed, name, number)
        try:
            target(chance, mutated)
        except BenchError as error:
            if len(str(error)) > 20_000:
                yield number, f"a message of {len(str(error))} characters"
        except (Exception, Hang) as error:
            yield number, _described(error)


def _described(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"{ROOT}/harness" in frame.filename]
    own += [frame for frame in frames if f"{ROOT}/plugins" in frame.filename]
    where = own[-1] if own else frames[-1]
    place = f"{Path(where.filename).name}:{where.lineno}"
    return f"{type(error).__name__} at {place}: {str(error)[:200]}"


def work(name: str, first: int, last: int, seed: int, folder: Path) -> None:
    """The process of a target: one line of JSON a finding."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    def hang(number: int, frame: object) -> None:
        raise Hang(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, why in attack(name, range(first, last), folder, seed):
        print(json.dumps([number, why]), flush=True)


def supervise(name: str, first: int, last: int, seed: int) -> list[tuple[int, str]]:
    """Run a target to its end, in a new process after each that died."""
    findings: list[tuple[int, str]] = []
    while first < last:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--work", folder, "--target", name]
            command += ["--first", str(first), "--count", str(last - first), "--seed", str(seed)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            findings += [tuple(json.loads(line)) for line in done.stdout.splitlines()]
            at = Path(folder, "at")
            reached = int(at.read_text()) if at.exists() else first
        if done.returncode == 0:
            return findings
        findings.append((reached, f"process ended with {done.returncode}: {done.stderr[-1500:]}"))
        first = reached + 1
    return findings


def main() -> None:
    """Attack every target, or one, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="inputs over all targets")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=sorted(TARGETS))
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.target, asked.first, asked.first + asked.count, asked.seed, asked.work)
        return
    names = [asked.target] if asked.target else sorted(TARGETS)
    share = -(-asked.count // len(names))
    total = found = 0
    for name in names:
        started = time.monotonic()
        findings = supervise(name, asked.first, asked.first + share, asked.seed)
        seconds = time.monotonic() - started
        total, found = total + share, found + len(findings)
        print(f"{name}: {share:,} inputs, {len(findings)} findings, {seconds:.0f} s", flush=True)
        kinds: dict[str, list[int]] = {}
        for number, why in findings:
            kinds.setdefault(why.partition(": ")[0], []).append(number)
        first_of = {why.partition(": ")[0]: why for _, why in reversed(findings)}
        for kind, count in Counter({k: len(v) for k, v in kinds.items()}).most_common():
            print(f"  {count} x {first_of[kind]} (number {kinds[kind][0]})", flush=True)
    print(f"{total:,} inputs, {found} findings")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
