"""A training step: ours and a plain formulation of the same model, side by side.

    uv run python benchmarks/training.py --size small --threads 1 2

A step is forward pass, backward pass and Adamax on one minibatch of 64. "ours" is the step of
`harness.training`; "plain" trains a copy of the model in the formulation of the published code:
separate ActNorms, 1x1 convolutions by the dense product P L U, scales by sigmoid and logarithm,
contiguous activations, the optimiser as torch has it by default. Both see the same examples and
the same noise, and their losses are asserted to be equal at every step. After a step to warm up
they alternate; medians are shown, of the wall time and of the processor time of the process.
Freed memory stays with the process, as in `bench run`, unless `--return-memory` is given. With
`--compile` a second row has our step through `torch.compile`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from plain import published_log_prob

from harness.compute.device import keep_freed_memory
from harness.compute.seeds import generator
from harness.compute.trainer import Training
from harness.suite import Recipe
from oodbench import Images
from plugins.models.autoregressive import maf, spline_flow
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.models.realnvp import realnvp

COLOUR, GRAY = Images(3, 32, 32), Images(1, 28, 28)
QUICK = Images(3, 8, 8)
SIZES = {
    "quickstart": (lambda domain: glow(domain, levels=2, steps=4, width=32), QUICK),
    "quickstart-linear": (
        lambda domain: glow_linear(domain, steps=4, width=64, hidden_layers=2),
        Images(1, 8, 8),
    ),
    "small": (lambda domain: glow(domain, levels=2, steps=4, width=64), COLOUR),
    "wide": (lambda domain: glow(domain, levels=3, steps=4, width=512), COLOUR),
    "full": (glow, COLOUR),
    "one-channel": (glow_linear, GRAY),
    "realnvp": (realnvp, GRAY),
    "maf": (maf, GRAY),
    "spline-flow": (spline_flow, GRAY),
}
RECIPE = Recipe(minibatch=64, learning_rate=1e-5)
PRECISION = {"one-channel": "float64"}  # as the paper trains it; float32 elsewhere


@dataclass
class Plain:
    """The same training in a plain formulation."""

    model: torch.nn.Module
    noise: torch.Generator

    def __post_init__(self):
        self.optimizer = torch.optim.Adamax(self.model.parameters(), lr=RECIPE.learning_rate)

    def step(self, x):
        """The loss, in bits per dimension."""
        self.optimizer.zero_grad()
        u = torch.rand(x.shape, generator=self.noise, dtype=torch.float32).to(x.device)
        log_prob = published_log_prob(self.model, x + (u - 0.5))  # it adds 0.5
        loss = -log_prob.mean() / (self.model.domain.dims * math.log(2))
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def methods_of(size, device, compiled):
    """A function for each method that takes a step; the minibatch is the same one every time."""
    build, domain = SIZES[size]
    images = np.random.default_rng(0).integers(0, 256, (64, *domain.shape), dtype=np.uint8)
    recipe = RECIPE.model_copy(update={"precision": PRECISION.get(size, "float32")})
    component = SimpleNamespace(recipe=recipe, build=build)
    training = Training(component, domain, images, 0, device)
    training.start()
    torch.manual_seed(0)
    with torch.no_grad():  # layers that start at zero are moved, so that every layer counts
        for name, parameter in training.model.named_parameters():
            if "conv3" in name or "prior" in name or ".net." in name:
                parameter.add_(0.01 * torch.randn_like(parameter))
    plain = Plain(copy.deepcopy(training.model), generator(0, "noise", 1))
    noise = generator(0, "noise", 1)
    x = training.examples.to(device)
    methods = {"plain": lambda: plain.step(x), "ours": lambda: training._step(x, noise, 0)}
    if compiled:
        other = Training(component, domain, images, 0, device)
        other.model.load_state_dict(training.model.state_dict())
        other.compile(print)
        again = generator(0, "noise", 1)
        methods["compiled"] = lambda: other._step(x, again, 0)
    return methods


def timed(step, device):
    wall, processor = time.perf_counter(), time.process_time()
    loss = float(step())
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return loss, time.perf_counter() - wall, time.process_time() - processor


def measured(size, threads, repeats, device, compiled):
    """Times of every step, in seconds: {method: {"wall": [...], "cpu": [...]}}."""
    torch.set_num_threads(threads)
    methods = methods_of(size, device, compiled)
    times = {name: {"wall": [], "cpu": []} for name in methods}
    for repeat in range(repeats + 1):
        losses = []
        for name, step in methods.items():
            loss, wall, processor = timed(step, device)
            losses.append(loss)
            if repeat:
                times[name]["wall"].append(wall)
                times[name]["cpu"].append(processor)
        tolerance = 1e-3 if repeat else 1e-5  # rounding grows along the training
        for loss in losses[1:]:
            assert math.isclose(losses[0], loss, rel_tol=tolerance), f"the losses differ: {losses}"
    return times


def row(label, threads, times, name):
    """A line of the table: a method against plain."""
    line = f"{label:18}{threads:8}"
    for clock, width in (("wall", 10), ("cpu", 11)):
        plain, ours = (1e3 * statistics.median(times[of][clock]) for of in ("plain", name))
        line += f"{plain:{width}.1f}{ours:10.1f}{plain / ours:7.2f}"
    return line


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, nargs="+", default=["small"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="also through torch.compile")
    parser.add_argument("--return-memory", action="store_true", help="as the C library does")
    parser.add_argument("--json", metavar="FILE", help="also write every time there")
    return parser.parse_args()


def main():
    arguments = parsed()
    device, results = torch.device(arguments.device), []
    if not arguments.return_memory:
        keep_freed_memory()
    print(
        f"torch {torch.__version__}, {arguments.device}, minibatch {RECIPE.minibatch}; ms a step"
    )
    print(
        f"{'size':18}{'threads':>8}{'plain':>10}{'ours':>10}{'ratio':>7}"
        f"{'plain cpu':>11}{'ours cpu':>10}{'ratio':>7}"
    )
    for size in arguments.size:
        for threads in arguments.threads:
            times = measured(size, threads, arguments.repeats, device, arguments.compile)
            results.append({"size": size, "threads": threads, "seconds": times})
            for name in [name for name in times if name != "plain"]:
                print(row(size if name == "ours" else name, threads, times, name), flush=True)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, "results": results}, file, indent=1)


if __name__ == "__main__":
    main()
