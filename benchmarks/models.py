"""Every model: examples per second in training and in layer gradients.

    uv run python benchmarks/models.py --models maf realnvp --precisions float32 bfloat16

Models have their default options, and the first of these domains that they take: 1x28x28, 3x32x32,
256 bytes. "step" is a training step with the optimiser `--optimizer`, "gradients" are layer
gradients at b = 1. Precisions alternate; medians of processor time are shown, as examples per
second of one process.
"""

from __future__ import annotations

import argparse
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch
from peers import measured

from harness.compute.device import keep_freed_memory
from harness.compute.inputs import model_input
from harness.compute.precision import in_bfloat16
from harness.compute.seeds import generator
from harness.compute.trainer import Training
from harness.registry.options import REQUIRED, signature_options
from harness.registry.registry import Registry
from harness.suite import Recipe
from harness.testing.entries import builder
from oodbench import DomainError, Images, Tokens
from plugins.statistics.layer_gradients.engine import LayerGradientEngine

DOMAINS = (Images(1, 28, 28), Images(3, 32, 32), Tokens(256))
PRECISIONS = ("float32", "bfloat16")


def buildable():
    """Models that can be built with their defaults, by name."""
    registry, found = Registry(), {}
    for name in registry.names("models"):
        registered = registry.get("models", name)
        options = signature_options(registered.load()).values()
        if not any(default is REQUIRED for _, default in options):
            found[name] = builder(registry, registered, {})
    return found


def training_of(build, precision, arguments):
    """Make a training for the first domain that the model takes."""
    recipe = Recipe(
        minibatch=arguments.minibatch, optimizer=arguments.optimizer, precision=precision
    )
    for domain in DOMAINS:
        shape = (arguments.minibatch, *domain.shape)
        drawn = np.random.default_rng(0).integers(0, domain.levels, shape).astype(domain.dtype)
        component = SimpleNamespace(recipe=recipe, build=build)
        try:
            made = Training(component, domain, drawn, 0, torch.device("cpu"))
        except DomainError:
            continue
        made.start()
        made.model.train()
        return made
    raise SystemExit(f"none of {DOMAINS} suits the model")


def methods_of(build, arguments):
    """Functions by quantity and precision."""
    steps, gradients = {}, {}
    for precision in arguments.precisions:
        made = training_of(build, precision, arguments)
        x = model_input(made.examples, made.domain)
        steps[precision] = partial(made._step, x, generator(0, "noise", 1), 0)
        model = training_of(build, "float32", arguments).model.eval()
        model = in_bfloat16(model) if precision == "bfloat16" else model
        groups = x[: arguments.few].unsqueeze(1)
        gradients[precision] = partial(LayerGradientEngine(), model, groups)
    return made.domain, {"step": (steps, len(x)), "gradients": (gradients, len(groups))}


def parsed():
    names = list(buildable())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", choices=names, nargs="+", default=names)
    parser.add_argument("--precisions", choices=PRECISIONS, nargs="+", default=["float32"])
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--minibatch", type=int, default=64)
    parser.add_argument("--few", type=int, default=32, help="examples for layer gradients")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def main():
    arguments, builds = parsed(), buildable()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    print(f"torch {torch.__version__}, {arguments.threads} threads; examples per second")
    print(f"{'model':16}{'domain':10}{'quantity':11}{'precision':11}{'examples/s':>11}")
    for name in arguments.models:
        domain, parts = methods_of(builds[name], arguments)
        for quantity, (methods, count) in parts.items():
            for precision, took in measured(methods, arguments.repeats).items():
                shown = f"{name:16}{domain!s:10}{quantity:11}{precision:11}"
                print(f"{shown}{count / took:11.1f}", flush=True)


if __name__ == "__main__":
    main()
