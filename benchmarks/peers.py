"""Glow beside a public implementation: training steps and layer gradients, in turn.

    uv run python benchmarks/peers.py --glow-pytorch glow-pytorch --sizes small wide

The reader brings the other implementation: a folder to import from, and there a module, `model`
unless `--module` names another, with the class `Glow` of y0ast/Glow-PyTorch. The code of the paper
OOD Detection with Immature Models, BehroozMontazeran/ood_detection, has it in
`models.glow_model.model`. Both models have the same layers and sizes, which is asserted by the
number of parameters, and see the same examples.

"step" is forward pass, backward pass and Adamax on a minibatch, as in each code's own training.
"gradients" are squared norms for all layers and single examples: a backward pass per example
through the other model, and the engine here. Rows "bfloat16" are ours with networks in bfloat16;
the other code has float32 only. Methods alternate; medians of processor time are shown, and the
ratio of the other code's time to ours.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch

from harness.compute.device import keep_freed_memory
from harness.compute.precision import in_bfloat16
from harness.compute.seeds import generator
from harness.compute.trainer import Training
from harness.suite import Recipe
from oodbench import Images
from plugins.models.glow import glow
from plugins.statistics.layer_gradients.engine import LayerGradientEngine

DOMAIN = Images(3, 32, 32)
CPU = torch.device("cpu")
LEARNING_RATE = 1e-5


class Size(NamedTuple):
    """Sizes of a Glow."""

    levels: int
    steps: int
    width: int


SIZES = {"tiny": Size(1, 1, 4), "small": Size(2, 4, 64), "wide": Size(3, 4, 512)}


def other_model(folder, module, size):
    """Build the other implementation's Glow, imported from a module in a folder."""
    sys.path.insert(0, str(folder))
    torch.qr = torch.linalg.qr  # the code calls names that torch has dropped
    return importlib.import_module(module).Glow(
        image_shape=(DOMAIN.height, DOMAIN.width, DOMAIN.channels),
        hidden_channels=size.width,
        K=size.steps,
        L=size.levels,
        actnorm_scale=1.0,
        flow_permutation="invconv",
        flow_coupling="affine",
        LU_decomposed=True,
        y_classes=1,
        learn_top=True,
        y_condition=False,
    )


def our_training(size, precision, images):
    """Build a training of ours, ready for a step."""
    component = SimpleNamespace(
        recipe=Recipe(minibatch=len(images), learning_rate=LEARNING_RATE, precision=precision),
        build=partial(glow, **size._asdict()),
    )
    made = Training(component, DOMAIN, images, 0, CPU)
    made.start()
    made.model.train()
    return made


def other_step(model, x):
    """Make a function that takes a training step of the other model."""
    optimizer = torch.optim.Adamax(model.parameters(), lr=LEARNING_RATE, weight_decay=5e-5)

    def step():
        optimizer.zero_grad()
        _, bits_per_dim, _ = model(x, None)
        bits_per_dim.mean().backward()
        optimizer.step()

    return step


def other_gradients(model, x):
    """Make a function that computes layer gradients of the other model, example by example."""
    parameters = list(model.parameters())

    def norms():
        for example in x:
            _, bits_per_dim, _ = model(example.unsqueeze(0), None)
            found = torch.autograd.grad(bits_per_dim.sum(), parameters, allow_unused=True)
            [g.double().square().sum() for g in found if g is not None]

    return norms


def methods_of(other, size, images, few):
    """Functions by quantity and method, and the number of examples of each quantity."""
    raw = torch.from_numpy(images)
    x = raw / DOMAIN.levels - 0.5
    steps, gradients = {"other": other_step(other, x)}, {"other": other_gradients(other, x[:few])}
    for precision in ("float32", "bfloat16"):
        made = our_training(size, precision, images)
        counts = [sum(p.numel() for p in model.parameters()) for model in (other, made.model)]
        assert counts[0] == counts[1], f"the models differ: {counts} parameters"
        noise = generator(0, "noise", 1)
        steps[precision] = partial(made._step, raw, noise, 0)
        model = our_training(size, "float32", images).model.eval()
        model = in_bfloat16(model) if precision == "bfloat16" else model
        gradients[precision] = partial(LayerGradientEngine(), model, raw[:few].unsqueeze(1))
    return {"step": (steps, len(images)), "gradients": (gradients, few)}


def measured(methods, repeats):
    """Median processor time of each method, in seconds, alternating after a call to warm up."""
    times = {name: [] for name in methods}
    for repeat in range(repeats + 1):
        for name, run in methods.items():
            started = time.process_time()
            run()
            if repeat:
                times[name].append(time.process_time() - started)
    return {name: statistics.median(found) for name, found in times.items()}


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--glow-pytorch", type=Path, required=True, help="folder to import from")
    parser.add_argument("--module", default="model", help="module with the class Glow")
    parser.add_argument("--sizes", choices=SIZES, nargs="+", default=["small"])
    parser.add_argument("--minibatch", type=int, default=64)
    parser.add_argument("--few", type=int, default=8, help="examples for layer gradients")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    return parser.parse_args()


def main():
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    shape = (arguments.minibatch, *DOMAIN.shape)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    print(f"torch {torch.__version__}, {arguments.threads} threads; ms per example")
    print(f"{'size':8}{'quantity':12}{'method':10}{'ms':>9}{'other / ours':>14}")
    for name in arguments.sizes:
        size = SIZES[name]
        other = other_model(arguments.glow_pytorch, arguments.module, size)
        parts = methods_of(other, size, images, arguments.few)
        for quantity, (methods, count) in parts.items():
            seconds = measured(methods, arguments.repeats)
            for method, took in seconds.items():
                ratio = seconds["other"] / took
                ms = 1e3 * took / count
                print(f"{name:8}{quantity:12}{method:10}{ms:9.2f}{ratio:14.2f}", flush=True)


if __name__ == "__main__":
    main()
