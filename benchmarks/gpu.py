"""Everything that only a GPU can tell, in at most ten minutes. It has not run on a GPU yet.

    benchmarks/gpu.sh --out figures-gpu
    benchmarks/gpu.sh --miniature --out /tmp/miniature

The parts, the most important first; each prints its table and writes `figures.json` again:

    ceiling     products of square matrices in each precision: the measured ceiling of the card
    gradients   layer gradients of the full models beside one plain pass (forward and backward,
                published formulation, no norms), b = 1; log norms against float64
    training    a step of every registered model with its default options, examples per second, in
                float32, TF32 and bfloat16
    agreement   every statistic in float64 on the kit's models, card against CPU
    quickstart  the suite on the card and on the CPU: seconds, and the largest difference of AUROC

"share" is the share of the measured ceiling: operations of matrix products and convolutions in a
plain pass or a training step, as torch counts them, per second of the method. So the engine's
share counts useful operations only. TF32 rounds the inputs of products to 10 bits; bfloat16 rounds
the networks alone, as `precision` and `evaluation_precision` do, and the plain pass beside it runs
under `torch.autocast` as a whole. A part that does not fit into the rest of the time is left out,
and the output says so. `--miniature` takes tiny sizes on the CPU.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from layer_gradients import SIZES, peak_bytes, plain, timed
from torch.utils.flop_counter import FlopCounterMode

from harness.compute.device import keep_freed_memory
from harness.compute.precision import bfloat16_networks, in_bfloat16
from harness.compute.seeds import generator
from harness.compute.trainer import Training
from harness.registry.options import REQUIRED, signature_options
from harness.registry.registry import Registry
from harness.suite import Recipe
from harness.testing.entries import builder
from harness.testing.model_subject import ModelUnderTest
from harness.testing.statistics import StatisticUnderTest, reference_model
from oodbench import DomainError, Images, Tokens
from plugins.statistics.layer_gradients.engine import LayerGradientEngine

PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
NEEDED = {"ceiling": 20, "gradients": 90, "training": 60, "agreement": 30, "quickstart": 150}
"""Seconds that must be left for a part to begin."""


@dataclass
class Bench:
    """Where and how much to measure."""

    device: torch.device
    miniature: bool
    out: Path
    deadline: float
    figures: dict = field(default_factory=dict)

    @property
    def repeats(self):
        return 2 if self.miniature else 5

    def seconds(self, run, warm=2):
        """Median seconds of a call."""
        for _ in range(warm):
            run()
        self.wait()
        return statistics.median(timed(run, self.device) for _ in range(self.repeats))

    @property
    def left(self):
        """Seconds until the deadline, none after it."""
        return max(0.0, self.deadline - time.monotonic())

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def note(self, part, row):
        """Print a row, and keep it."""
        self.figures.setdefault(part, []).append(row)
        shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()}
        print("  " + "  ".join(f"{k} {v}" for k, v in shown.items()), flush=True)

    def save(self):
        self.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.figures, indent=1, default=str)
        self.out.joinpath("figures.json").write_text(text, encoding="utf-8")

    def share(self, operations, seconds, precision):
        ceilings = {row["precision"]: row["tflops"] for row in self.figures["ceiling"]}
        return operations / seconds / 1e12 / ceilings[precision]


@contextmanager
def precision_of(name):
    """TF32 on or off; yields the dtype of products."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    try:
        yield PRECISIONS[name]
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextmanager
def noted(bench, part, row):
    """Note an error in place of figures and go on: a card may be lent only once."""
    try:
        yield
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:90]
        bench.note(part, row | {"not": reason})


def operations_of(run):
    """Floating-point operations of products and convolutions in a call.

    NaN for a step that differentiates within its forward pass, which torch cannot count.
    """
    with FlopCounterMode(display=False) as counter:
        try:
            run()
        except RuntimeError as error:
            if "autograd.grad" not in str(error):
                raise
            return math.nan
    return counter.get_total_flops()


def ceiling(bench):
    n = 256 if bench.miniature else 8192
    for name in PRECISIONS:
        with precision_of(name) as dtype:
            a, b = (torch.randn(n, n, device=bench.device).to(dtype) for _ in range(2))
            seconds = bench.seconds(lambda a=a, b=b: a @ b)
            bench.note("ceiling", {"precision": name, "n": n, "tflops": 2e-12 * n**3 / seconds})


def gradients(bench):
    for size in ["quickstart"] if bench.miniature else ["full", "one-channel"]:
        count = 4 if bench.miniature else 256
        exact = gradients_in(bench, size, "float64", torch.float64, min(count, 16))
        for name in PRECISIONS:
            row = {"size": size, "precision": name}
            with precision_of(name), noted(bench, "gradients", row):
                norms = gradients_in(bench, size, name, torch.float32, count)
                few = exact[: len(norms)]
                both = (few > 0) & (norms[: len(few)] > 0)
                logs = (norms[: len(few)][both].log() - few[both].log()).abs()
                worst = {"median": float(logs.median()), "largest": float(logs.max())}
                bench.note("gradients", row | {"|Δ log norm|": "", **worst})


def moved_off_zero(model):
    """Layers that start at zero would hide everything behind them."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "conv3" in name or "prior" in name:
                parameter.add_(0.01 * torch.randn_like(parameter))
    return model


def gradients_in(bench, size, name, dtype, count):
    """Time engine and plain pass in one precision; return the squared norms, on the CPU.

    `dtype` is that of the parameters.
    """
    torch.manual_seed(0)
    found = SIZES[size]
    model = moved_off_zero(found.build().eval()).to(bench.device, dtype)
    shape = (count, 1, *found.domain.shape)
    groups = torch.randint(256, shape, generator=generator(0, "gpu")).byte().to(bench.device)
    engine, run_plain = LayerGradientEngine(), lambda: plain(model, groups)
    if name == "bfloat16":
        model, run_plain = in_bfloat16(model), under_autocast(run_plain, bench.device)
    norms = engine(model, groups).cpu()
    if name == "float64":  # the truth alone: slow on most cards
        return norms
    plan = engine.plan(model, groups)
    operations = operations_of(run_plain)
    for method, run in {"engine": lambda: engine(model, groups), "plain": run_plain}.items():
        seconds = bench.seconds(run)
        row = {"size": size, "precision": name, "method": method, "examples": count}
        row |= {"ms/example": 1e3 * seconds / count, "MiB": peak_bytes(run, bench.device) / 2**20}
        if not (name == "tf32" and bench.device.type == "cpu"):
            row["share"] = bench.share(operations, seconds, name)
        bench.note("gradients", row | ({"plan": plan is not None} if method == "engine" else {}))
    return norms


def under_autocast(run, device):
    """Return a function that runs another with networks in bfloat16."""

    def rounded():
        with bfloat16_networks(device):
            return run()

    return rounded


def without_required_options(registry, kind):
    """Entries that can be built with their defaults."""
    for name in registry.names(kind):
        registered = registry.get(kind, name)
        options = signature_options(registered.load())
        if not any(default is REQUIRED for _, default in options.values()):
            yield name, builder(registry, registered, {})


def training(bench):
    full = [Images(3, 32, 32), Images(1, 28, 28), Tokens(256)]
    domains = [Images(1, 8, 8), Tokens(8)] if bench.miniature else full
    for model, build in without_required_options(Registry(), "models"):
        for name in PRECISIONS:
            if bench.left < NEEDED["training"] / 2:
                print(f"  {model} in {name}: left out")
                continue
            row = {"model": model, "precision": name}
            with precision_of(name), noted(bench, "training", row):
                train_one(bench, model, build, name, domains)


def train_one(bench, model, build, precision, domains):
    minibatch = 2 if bench.miniature else 64
    kind = "bfloat16" if precision == "bfloat16" else "float32"
    recipe = Recipe(minibatch=minibatch, learning_rate=1e-5, precision=kind)
    component = SimpleNamespace(recipe=recipe, build=build)
    for domain in domains:
        shape = (minibatch, *domain.shape)
        drawn = np.random.default_rng(0).integers(0, domain.levels, shape).astype(domain.dtype)
        try:
            made = Training(component, domain, drawn, 0, bench.device)
        except DomainError:
            continue
        made.start()
        made.model.train()
        chosen = torch.arange(minibatch, device=made.examples.device)
        x, noise = made._minibatch(chosen), generator(0, "noise", 1)

        def step(made=made, x=x, noise=noise):
            return made._step(x, noise, 0)

        operations, seconds = operations_of(step), bench.seconds(step)
        row = {"model": model, "domain": str(domain), "precision": precision}
        row |= {"ms/step": 1e3 * seconds, "examples/s": minibatch / seconds}
        row |= {"MiB": peak_bytes(step, bench.device) / 2**20}
        row |= {"share": bench.share(operations, seconds, precision)}
        return bench.note("training", row)
    return bench.note("training", {"model": model, "not": f"built for {domains}"})


def agreement(bench):
    """Largest relative difference between card and CPU, in float64, for each statistic."""
    for name, build in without_required_options(Registry(), "statistics"):
        with noted(bench, "agreement", {"statistic": name}):
            model, domain = reference_model(build)
            subject = StatisticUnderTest(build, ModelUnderTest(model, domain, domain))
            here, there = (subject.on(torch.device(place)) for place in ("cpu", bench.device))
            worst = float(np.abs(here - there).max() / max(np.abs(here).max(), 1e-300))
            row = {"statistic": name, "largest difference": worst, "agrees": worst < 1e-8}
            bench.note("agreement", row)


def quickstart(bench):
    with tempfile.TemporaryDirectory() as folder:
        aurocs = [
            quickstart_on(bench, device, Path(folder) / name)
            for name, device in (("cpu", "cpu"), ("card", str(bench.device)))
        ]
    on_cpu, on_card = aurocs
    differences = {cell: abs(on_card[cell] - value) for cell, value in on_cpu.items()}
    cell = max(differences, key=differences.get)
    row = {"cells": len(differences), "largest difference of AUROC": differences[cell]}
    bench.note("quickstart", row | {"in": " ".join(map(str, cell))})


def quickstart_on(bench, device, store):
    """Run the suite; return AUROC by cell."""
    command = [sys.executable, "-m", "oodbench", "run", "suites/quickstart.toml"]
    command += ["--store", str(store), "--device", device, "--display", "none"]
    if bench.miniature:
        command += ["--only", "model=glow-gray", "--only", "epoch=0"]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    bench.note("quickstart", {"device": device, "s": time.perf_counter() - started})
    (file,) = store.glob("results/**/results.json")
    results = json.loads(file.read_text(encoding="utf-8"))["results"]
    names = ("model", "in", "out", "scorer", "epoch", "group_size", "seed")
    return {tuple(row[name] for name in names): row["auroc"] for row in results}


PARTS = (ceiling, gradients, training, agreement, quickstart)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for figures.json")
    parser.add_argument("--miniature", action="store_true", help="tiny sizes, on the CPU")
    parser.add_argument("--minutes", type=float, default=9.5)
    names = [part.__name__ for part in PARTS]
    parser.add_argument("--parts", nargs="+", choices=names, default=names)
    return parser.parse_args()


def main():
    arguments = parsed()
    device = torch.device("cpu" if arguments.miniature else "cuda:0")
    card = "CPU" if arguments.miniature else torch.cuda.get_device_name(device)
    keep_freed_memory()
    deadline = time.monotonic() + 60 * arguments.minutes
    bench = Bench(device, arguments.miniature, arguments.out, deadline)
    bench.figures["where"] = {"card": card, "torch": torch.__version__, "cores": os.cpu_count()}
    print(f"{card}, torch {torch.__version__}")
    for part in PARTS:
        if part.__name__ not in arguments.parts and part is not ceiling:  # shares need the ceiling
            continue
        if bench.left < NEEDED[part.__name__]:
            print(f"{part.__name__}: left out, {bench.left:.0f} s are left")
            continue
        print(f"{part.__name__}, {bench.left:.0f} s are left")
        part(bench)
        bench.save()


if __name__ == "__main__":
    main()
