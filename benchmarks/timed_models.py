"""The other side of `models.py`: a process with the code of one tree, which times what it is told.

Lines on standard input are answered by a line each on standard output, both in JSON. It runs in
older trees too, so it imports at the top only what these have.

    {"do": "list"}                                       names of models
    {"do": "build", "model": ..., "precision": ...,
     "minibatch": ..., "few": ..., "optimizer": ...}     the domain
    {"do": "time", "quantity": "training" or "gradients",
     "threads": ..., "clock": ...}                       seconds of a call, and its examples
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import torch

from harness.compute.device import keep_freed_memory
from harness.compute.inputs import model_input
from harness.compute.seeds import generator
from harness.compute.trainer import Training
from harness.registry.options import REQUIRED, signature_options
from harness.registry.registry import Registry
from harness.suite import Recipe
from harness.testing.entries import builder
from oodbench import DomainError, Images, Tokens
from plugins.statistics.layer_gradients.engine import LayerGradientEngine

DOMAINS = (Images(1, 28, 28), Images(3, 32, 32), Tokens(256))
OPTIONS = {"glow": {"levels": 2, "steps": 4, "width": 64}}  # the full size takes minutes
PAUSE = 0.02  # seconds in which the threads of the other side, which wait actively, go to sleep
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def buildable():
    """Models that can be built with their defaults, by name."""
    registry, found = Registry(), {}
    for name in registry.names("models"):
        registered = registry.get("models", name)
        options = signature_options(registered.load()).values()
        if not any(default is REQUIRED for _, default in options):
            found[name] = builder(registry, registered, OPTIONS.get(name, {}))
    return found


def training_of(build, precision, order):
    """Make a training for the first domain that the model takes."""
    recipe = Recipe(
        minibatch=order["minibatch"], optimizer=order["optimizer"], precision=precision
    )
    for domain in DOMAINS:
        shape = (order["minibatch"], *domain.shape)
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


def calls(build, order):
    """Return the domain, and by quantity a call with its number of examples."""
    made = training_of(build, order["precision"], order)
    x = model_input(made.examples, made.domain)
    step = partial(made._step, x, generator(0, "noise", 1), 0)
    model = training_of(build, "float32", order).model.eval()
    if order["precision"] == "bfloat16":
        from harness.compute.precision import in_bfloat16  # older trees have float32 alone

        model = in_bfloat16(model)
    groups = x[: order["few"]].unsqueeze(1)
    gradients = partial(LayerGradientEngine(), model, groups)
    return made.domain, {"training": (step, len(x)), "gradients": (gradients, len(groups))}


def timed(call, order):
    """Take the seconds of a call."""
    run, examples = call
    torch.set_num_threads(order["threads"])
    clock = CLOCKS[order["clock"]]
    time.sleep(PAUSE)
    started = clock()
    run()
    return {"seconds": clock() - started, "examples": examples}


def main():
    keep_freed_memory()
    builds, built = buildable(), {}
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "list":
            answer = list(builds)
        elif order["do"] == "build":
            built.clear()  # before the next model is built
            domain, made = calls(builds[order["model"]], order)
            built.update(made)
            answer = str(domain)
        else:
            answer = timed(built[order["quantity"]], order)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
