"""Layer gradients: the engine, the loop, vmap(grad) and a plain training-style pass, side by side.

    uv run python benchmarks/layer_gradients.py --json figures.json
    uv run python benchmarks/layer_gradients.py --sizes small --threads 2 --group-sizes 1

The first takes everything: three sizes, one and two threads, groups of 1 and 5. Each method is run
once to warm up, then all in turn, `--repeats` times; the medians of the wall time per example are
shown, with what each adds to the memory of the process at most. "plain" is one batched forward and
backward pass, gradients of the parameters included, of the same weights in the formulation of the
published code: separate ActNorms, 1x1 convolutions by the dense product P L U, scales by sigmoid
and logarithm, no norms. "loop" is one backward pass per group of our own model, whose steps are
fused; "published" is one per group of the published formulation, each norm read out by itself, as
the published code scores. The loops and vmap(grad) are given few examples, because they would take
minutes; the column "of" says how many. Freed memory stays with the process, as in `bench run`,
unless `--return-memory` is given.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import re
import statistics
import time
from dataclasses import dataclass

import torch
from plain import published_log_prob
from torch.func import functional_call, grad, vmap

from harness.compute.device import keep_freed_memory
from oodbench import Domain, Images, Tokens
from plugins.models.autoregressive import maf, spline_flow
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.models.realnvp import realnvp
from plugins.models.transformer import transformer
from plugins.statistics.layer_gradients.engine import MAX_BYTES, LayerGradientEngine
from plugins.statistics.layer_gradients.graph import ObjectiveModule
from plugins.statistics.layer_gradients.reference import looped_layer_gradients

COLOUR, GRAY, TEXT = Images(3, 32, 32), Images(1, 28, 28), Tokens(48)


@dataclass
class Size:
    """A model, and how many examples each method is given at a time."""

    build: object
    domain: Domain
    dtype: torch.dtype
    examples: dict[str, int]


SIZES = {
    "quickstart": Size(
        lambda: glow(Images(3, 8, 8), levels=2, steps=4, width=32),
        Images(3, 8, 8),
        torch.float32,
        {"engine": 64, "published": 15, "loop": 15, "vmap": 64, "plain": 64},
    ),
    "small": Size(
        lambda: glow(COLOUR, levels=2, steps=4, width=64),
        COLOUR,
        torch.float32,
        {"engine": 64, "published": 10, "loop": 10, "vmap": 16, "plain": 64},
    ),
    "full": Size(
        lambda: glow(COLOUR),
        COLOUR,
        torch.float32,
        {"engine": 40, "published": 5, "loop": 5, "vmap": 4, "plain": 16},
    ),
    "realnvp": Size(
        lambda: realnvp(GRAY),
        GRAY,
        torch.float32,
        {"engine": 128, "published": 10, "loop": 10, "vmap": 16, "plain": 128},
    ),
    "maf": Size(
        lambda: maf(GRAY),
        GRAY,
        torch.float32,
        {"engine": 64, "published": 10, "loop": 10, "vmap": 8, "plain": 64},
    ),
    "spline-flow": Size(
        lambda: spline_flow(GRAY),
        GRAY,
        torch.float32,
        {"engine": 64, "published": 10, "loop": 10, "vmap": 8, "plain": 64},
    ),
    "text": Size(  # the suite `text-quickstart`
        lambda: transformer(TEXT, layers=2, width=48),
        TEXT,
        torch.float32,
        {"engine": 150, "published": 30, "loop": 30, "vmap": 30, "plain": 150},
    ),
    "one-channel": Size(
        lambda: glow_linear(GRAY),
        GRAY,
        torch.float64,
        {"engine": 64, "published": 5, "loop": 5, "vmap": 4, "plain": 64},
    ),
}


# The methods: each takes groups, uint8 or int64, (M, b, *shape)


def plain(model, groups):
    """Gradients of the parameters of the whole batch; no norms."""
    total = published_log_prob(model, groups.flatten(0, 1)).sum()
    return torch.autograd.grad(total, list(model.parameters()), allow_unused=True)


def published_loop(model, groups):
    """A backward pass for each group, and each layer's norm as a number."""
    rows = []
    for group in groups:
        total = published_log_prob(model, group).sum()
        gradients = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)
        rows.append([0.0 if g is None else g.square().sum().item() for g in gradients])
    return rows


def vectorised(model, groups):
    """torch.func: vmap over the groups of the gradient of all parameters."""
    entry = ObjectiveModule(model)
    parameters = {name: p.detach() for name, p in entry.named_parameters()}

    def log_prob(parameters, group):
        return functional_call(entry, parameters, (group,)).sum()

    gradients = vmap(grad(log_prob), (None, 0))(parameters, groups)
    return [g.double().flatten(1).square().sum(1) for g in gradients.values()]


METHODS = {
    "published": published_loop,
    "loop": looped_layer_gradients,
    "engine": LayerGradientEngine(),
    "vmap": vectorised,
    "plain": plain,
}


def drawn(domain, *counts):
    """Random examples, (*counts, *domain.shape), of the dtype that a model gets."""
    examples = torch.randint(domain.levels, (*counts, *domain.shape))
    return examples.to(getattr(torch, domain.input_dtype))


def peak_bytes(run, device):
    """What a call adds to the memory in use, at most."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak starts again from here
    except OSError:
        return math.nan
    ctypes.CDLL(None).malloc_trim(0)  # what earlier runs left must not hide what this one takes
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(name):
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(rf"{name}:\s+(\d+)", file.read())[1])


def timed(run, device, clock=time.perf_counter):
    started = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", nargs="+", choices=SIZES, default=["small", "full", "one-channel"]
    )
    parser.add_argument("--group-sizes", nargs="+", type=int, default=[1, 5], metavar="B")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--max-bytes", type=int, default=MAX_BYTES, help="the engine's budget")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "float64"], help="of the models")
    parser.add_argument("--examples", type=int, help="for the engine and plain at a time")
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time, on a machine with other work"
    )
    parser.add_argument("--tf32", action="store_true", help="TensorFloat-32 on a GPU")
    parser.add_argument("--return-memory", action="store_true", help="as the C library does")
    parser.add_argument("--json", metavar="FILE", help="write all figures there too")
    return parser.parse_args()


def built(size, arguments, device):
    """The model, its zero-initialised layers moved off zero so that every layer counts."""
    torch.manual_seed(0)
    model = size.build().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "conv3" in name or "prior" in name or ".net." in name:
                parameter.add_(0.01 * torch.randn_like(parameter))
    dtype = getattr(torch, arguments.dtype) if arguments.dtype else size.dtype
    return model.to(device, dtype)


def prepared(size, model, group_size, arguments):
    """What to run for each method, and on how many examples."""
    functions = METHODS | {"engine": LayerGradientEngine(max_bytes=arguments.max_bytes)}
    runs, counts = {}, {}
    for name in arguments.methods:
        count = size.examples[name]
        if arguments.examples and name in ("engine", "plain"):
            count = arguments.examples
        groups = max(1, count // group_size)
        x = drawn(size.domain, groups, group_size)
        x, function = x.to(arguments.device), functions[name]
        runs[name] = lambda function=function, x=x: function(model, x)
        counts[name] = groups * group_size
    return runs, counts


def measured(name, threads, group_size, model, arguments):
    """A row for each method: times per example in ms, the first call in s, memory in MiB."""
    torch.set_num_threads(threads)
    device = torch.device(arguments.device)
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    runs, counts = prepared(SIZES[name], model, group_size, arguments)
    first = {method: timed(run, device) for method, run in runs.items()}
    peaks = {method: peak_bytes(run, device) / 2**20 for method, run in runs.items()}
    seconds = {method: [] for method in runs}
    for _ in range(arguments.repeats):
        for method, run in runs.items():
            seconds[method].append(1e3 * timed(run, device, clock) / counts[method])
    return [
        {
            "size": name,
            "threads": threads,
            "group_size": group_size,
            "method": method,
            "ms": statistics.median(times),
            "ms_min": min(times),
            "ms_max": max(times),
            "first_s": first[method],
            "peak_mib": peaks[method],
            "peak_mib_per_example": peaks[method] / counts[method],
            "examples": counts[method],
        }
        for method, times in seconds.items()
    ]


def show(rows):
    """A table and the ratios; "of" is how many examples were taken at a time."""
    first = rows[0]
    print(f"\n{first['size']}, b = {first['group_size']}, {first['threads']} threads")
    head = f"{'ms/example':>11}{'min':>10}{'max':>10}{'first, s':>10}"
    print(f"{'':10}{head}{'peak MiB':>10}{'/example':>10}{'of':>5}")
    for row in rows:
        print(
            f"{row['method']:10}{row['ms']:11.3f}{row['ms_min']:10.3f}{row['ms_max']:10.3f}"
            f"{row['first_s']:10.2f}{row['peak_mib']:10.0f}{row['peak_mib_per_example']:10.1f}"
            f"{row['examples']:5}"
        )
    medians = {row["method"]: row["ms"] for row in rows}
    pairs = ("published", "engine"), ("loop", "engine"), ("engine", "plain"), ("vmap", "engine")
    for one, other in pairs:
        if one in medians and other in medians:
            print(f"{one} / {other} = {medians[one] / medians[other]:.2f}", flush=True)


def main():
    arguments = parsed()
    if not arguments.return_memory:
        keep_freed_memory()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.tf32
    print(f"torch {torch.__version__}, {arguments.device}, medians of {arguments.repeats}")
    rows = []
    for name in arguments.sizes:
        size, device = SIZES[name], torch.device(arguments.device)
        model = built(size, arguments, device)
        with torch.no_grad():  # the published formulation is the same density
            x = drawn(size.domain, 2).to(device)
            torch.testing.assert_close(
                published_log_prob(model, x), model.log_prob(x), rtol=1e-3, atol=0
            )
        for threads in arguments.threads:
            for group_size in arguments.group_sizes:
                rows += measured(name, threads, group_size, model, arguments)
                show(rows[-len(arguments.methods) :])
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"torch": torch.__version__, "options": vars(arguments), "rows": rows}, file)


if __name__ == "__main__":
    main()
