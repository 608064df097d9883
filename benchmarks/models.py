"""Every model: examples per second in training and in layer gradients, and in another tree too.

    uv run python benchmarks/models.py --models maf realnvp --precisions float32 bfloat16
    uv run python benchmarks/models.py --against ../older --threads 1 2

Models have their default options (`glow` 2 levels of 4 steps, 64 wide), and the first of these
domains that they take: 1x28x28, 3x32x32, 256 bytes. "training" is a step with the optimiser
`--optimizer`, "gradients" are layer gradients at b = 1. `--against` names a folder with another
version of this repository, whose float32 comes first; what it has not is left out.

Each side is a process with the code of its tree, and the other waits while one computes. For each
model, number of threads and quantity they take turns after a call of each to warm up: at least
three times, and for `--seconds` altogether. The table, in Markdown, has medians of wall time as
examples per second, and how many times as fast each side is as the first. On a machine with other
work take one thread and `--cpu-time`, the processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUANTITIES = ("training", "gradients")
AT_LEAST = 3


class Side:
    """A process with the code of a tree."""

    def __init__(self, name, tree, precision):
        self.name, self._precision = name, precision
        script = Path(__file__).with_name("timed_models.py")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script)],
            env=os.environ | {"PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.models = self.tell("list")

    def tell(self, do, **order):
        """Send an order, and wait for the answer."""
        self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name}: the process ended, see above")
        return json.loads(answer)

    def build(self, model, arguments):
        """Build a model, ready for calls; return its domain."""
        wanted = {name: getattr(arguments, name) for name in ("minibatch", "few", "optimizer")}
        return self.tell("build", model=model, precision=self._precision, **wanted)

    def end(self):
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def speeds(sides, quantity, threads, arguments):
    """Examples per second of each side, in turn."""
    clock = "cpu" if arguments.cpu_time else "wall"
    order = {"quantity": quantity, "threads": threads, "clock": clock}
    for side in sides:
        side.tell("time", **order)  # to warm up
    found = [[] for _ in sides]
    end = time.perf_counter() + arguments.seconds
    while len(found[0]) < AT_LEAST or time.perf_counter() < end:
        for side, rates in zip(sides, found, strict=True):
            answer = side.tell("time", **order)
            rates.append(answer["examples"] / answer["seconds"])
    return [statistics.median(rates) for rates in found]


def shown(rate):
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def columns(names):
    """Heads of the columns of a quantity: speeds, and their ratios to the first."""
    return [names[0], *(head for name in names[1:] for head in (name, "ratio"))]


def cells(rates):
    ratios = [cell for rate in rates[1:] for cell in (shown(rate), f"{rate / rates[0]:.2f}")]
    return [shown(rates[0]), *ratios]


def line(parts):
    print("| " + " | ".join(parts) + " |", flush=True)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", help="names; by default all")
    precisions = ("float32", "bfloat16")
    parser.add_argument("--precisions", choices=precisions, nargs="+", default=["float32"])
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another version's tree")
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--minibatch", type=int, default=64)
    parser.add_argument("--few", type=int, default=32, help="examples for layer gradients")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=8, help="for each quantity of a row")
    parser.add_argument("--cpu-time", action="store_true", help="in place of wall time")
    return parser.parse_args()


def main():
    arguments = parsed()
    sides = [Side("before", arguments.against.resolve(), "float32")] if arguments.against else []
    sides += [Side(precision, ROOT, precision) for precision in arguments.precisions]
    shared = [name for name in sides[-1].models if all(name in side.models for side in sides)]
    heads = [f"{q}, {head}" for q in QUANTITIES for head in columns([s.name for s in sides])]
    line(["model", "domain", "threads", *heads])
    line(["---"] * (3 + len(heads)))
    for model in arguments.models or shared:
        *_, domain = [side.build(model, arguments) for side in sides]
        for threads in arguments.threads:
            found = [speeds(sides, quantity, threads, arguments) for quantity in QUANTITIES]
            line(
                [f"`{model}`", domain, str(threads), *(c for rates in found for c in cells(rates))]
            )
    for side in sides:
        side.end()


if __name__ == "__main__":
    main()
