"""Layer gradients: the engine, the loop, vmap(grad) and a plain training-style pass, side by side.

    uv run python benchmarks/layer_gradients.py --size small --threads 2 --group-size 1

Each method is run once to warm up, then all in turn, `--repeats` times; the medians of the wall
time per example are shown, with what each adds to the memory of the process at most. "plain" is
one batched forward and backward pass, gradients of the parameters included, of the same weights in
the formulation of the published code: separate ActNorms, 1x1 convolutions by the dense product
P L U, scales by sigmoid and logarithm, no norms. "loop" is one backward pass per group.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import re
import statistics
import time
from dataclasses import dataclass

import torch
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from harness import Images
from plugins.models.flows.multiscale import squeeze
from plugins.models.glow import glow
from plugins.models.glow_linear import glow_linear
from plugins.statistics.layer_gradients.engine import MAX_BYTES, LayerGradientEngine
from plugins.statistics.layer_gradients.loop import looped_layer_gradients
from plugins.statistics.layer_gradients.trace import Entry

COLOUR, GRAY = Images(3, 32, 32), Images(1, 28, 28)


@dataclass
class Size:
    """A model, and how many examples each method is given at a time."""

    build: object
    domain: Images
    dtype: torch.dtype
    examples: dict[str, int]


SIZES = {
    "quickstart": Size(
        lambda: glow(Images(3, 8, 8), levels=2, steps=4, width=32),
        Images(3, 8, 8),
        torch.float32,
        {"engine": 64, "loop": 15, "vmap": 64, "plain": 64},
    ),
    "small": Size(
        lambda: glow(COLOUR, levels=2, steps=4, width=64),
        COLOUR,
        torch.float32,
        {"engine": 64, "loop": 10, "vmap": 16, "plain": 64},
    ),
    "full": Size(
        lambda: glow(COLOUR),
        COLOUR,
        torch.float32,
        {"engine": 40, "loop": 5, "vmap": 4, "plain": 16},
    ),
    "one-channel": Size(
        lambda: glow_linear(GRAY),
        GRAY,
        torch.float64,
        {"engine": 64, "loop": 5, "vmap": 4, "plain": 64},
    ),
}


# The published formulation


def published_log_prob(model, x):
    """`model.log_prob(x)`, step by step as in the published code."""
    domain = model.domain
    y = (x.to(next(model.parameters()).dtype) + 0.5) / domain.levels - 0.5
    log_prob = y.new_full((len(y),), -domain.dims * domain.bits * math.log(2))
    if hasattr(model, "levels"):
        return log_prob + _published_glow(model, y)
    for k in range(model._n_steps):
        y, ladj = _published_linear_step(model._step(k), y, k % 2)
        log_prob = log_prob + ladj
    return log_prob + (-y - 2 * F.softplus(-y)).flatten(1).sum(1)


def _published_glow(model, y):
    log_prob = y.new_zeros(len(y))
    for index, level in enumerate(model.levels):
        y = squeeze(y)
        for step in level.steps:
            y, ladj = _published_step(step, y)
            log_prob = log_prob + ladj
        if index < len(model.splits):
            y, z = y.chunk(2, dim=1)
            mean, log_sd = _zero_conv(model.splits[index].prior.conv, y).chunk(2, dim=1)
            log_prob = log_prob + _gaussian(z, mean, log_sd)
    zeros = torch.zeros(len(y), 2 * y.shape[1], *y.shape[2:], dtype=y.dtype, device=y.device)
    mean, log_sd = _zero_conv(model.top.prior.conv, zeros).chunk(2, dim=1)
    return log_prob + _gaussian(y, mean, log_sd)


def _published_step(step, x):
    pixels = x.shape[2] * x.shape[3]
    x, mix, net = _actnorm(step.norm, x), step.mix, step.coupling
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    lower = mix.lower * torch.tril(torch.ones_like(eye), -1) + eye
    upper = mix.upper * torch.triu(torch.ones_like(eye), 1)
    upper = upper + torch.diag(mix.sign * torch.exp(mix.log_s))
    x = F.conv2d(x, torch.matmul(mix.p, torch.matmul(lower, upper))[:, :, None, None])
    a, b = x.chunk(2, dim=1)
    h = F.relu(_actnorm(net.norm1, F.conv2d(a, net.conv1.weight, padding=1)))
    h = F.relu(_actnorm(net.norm2, F.conv2d(h, net.conv2.weight)))
    shift, raw = _zero_conv(net.conv3, h).chunk(2, dim=1)
    scale = torch.sigmoid(raw + 2)
    ladj = torch.log(scale).flatten(1).sum(1)
    ladj = ladj + pixels * (step.norm.log_scale.sum() + mix.log_s.sum())
    return torch.cat((a, (b + shift) * scale), dim=1), ladj


def _published_linear_step(step, x, parity):
    x = F.conv2d(_actnorm(step.norm, x), step.mix.weight[:, :, None, None])
    pixels, net = x.shape[2] * x.shape[3], step.coupling
    ladj = pixels * (step.norm.log_scale.sum() + torch.linalg.slogdet(step.mix.weight)[1])
    mask = (net.even if parity == 0 else 1 - net.even).reshape(x.shape[1:])
    kept = (x * mask).flatten(1)
    log_scale = torch.tanh(net.log_scale_net(kept)).reshape(x.shape) * (1 - mask)
    shift = net.shift_net(kept).reshape(x.shape) * (1 - mask)
    return x * torch.exp(log_scale) + shift, ladj + log_scale.flatten(1).sum(1)


def _actnorm(norm, x):
    return (x + norm.bias) * torch.exp(norm.log_scale)


def _zero_conv(conv, x):
    return F.conv2d(x, conv.weight, conv.bias, padding=1) * torch.exp(3 * conv.log_scale)


def _gaussian(z, mean, log_sd):
    square = (z - mean) ** 2 / torch.exp(2 * log_sd)
    return (-0.5 * (math.log(2 * math.pi) + 2 * log_sd + square)).flatten(1).sum(1)


# The methods: each takes groups, uint8, (M, b, *shape)


def plain(model, groups):
    """Gradients of the parameters of the whole batch; no norms."""
    total = published_log_prob(model, groups.flatten(0, 1)).sum()
    return torch.autograd.grad(total, list(model.parameters()), allow_unused=True)


def vectorised(model, groups):
    """torch.func: vmap over the groups of the gradient of all parameters."""
    entry = Entry(model)
    parameters = {name: p.detach() for name, p in entry.named_parameters()}

    def log_prob(parameters, group):
        return functional_call(entry, parameters, (group,)).sum()

    gradients = vmap(grad(log_prob), (None, 0))(parameters, groups)
    return [g.double().flatten(1).square().sum(1) for g in gradients.values()]


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


def timed(run, device):
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--group-size", type=int, default=1, metavar="B")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=["loop", "engine", "vmap", "plain"])
    parser.add_argument("--max-bytes", type=int, default=MAX_BYTES, help="the engine's budget")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "float64"], help="of the model")
    parser.add_argument("--examples", type=int, help="for the engine and plain at a time")
    parser.add_argument("--tf32", action="store_true", help="TensorFloat-32 on a GPU")
    return parser.parse_args()


def built(size, arguments, device):
    """The model, its zero-initialised layers moved off zero so that every layer counts."""
    torch.manual_seed(0)
    model = size.build().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "conv3" in name or "prior" in name:
                parameter.add_(0.01 * torch.randn_like(parameter))
    dtype = getattr(torch, arguments.dtype) if arguments.dtype else size.dtype
    return model.to(device, dtype)


def main():
    arguments = parsed()
    size, device = SIZES[arguments.size], torch.device(arguments.device)
    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.tf32
    model = built(size, arguments, device)
    engine = LayerGradientEngine(max_bytes=arguments.max_bytes)
    functions = {
        "loop": looped_layer_gradients,
        "engine": engine,
        "vmap": vectorised,
        "plain": plain,
    }
    runs, counts = {}, {}
    for name in arguments.methods:
        count = size.examples[name]
        if arguments.examples and name in ("engine", "plain"):
            count = arguments.examples
        groups = max(1, count // arguments.group_size)
        x = torch.randint(256, (groups, arguments.group_size, *size.domain.shape)).byte()
        x, function = x.to(device), functions[name]
        runs[name] = lambda function=function, x=x: function(model, x)
        counts[name] = groups * arguments.group_size
    if "plain" in runs:  # it is the same density
        with torch.no_grad():
            x = torch.randint(256, (2, *size.domain.shape)).byte().to(device)
            torch.testing.assert_close(
                published_log_prob(model, x), model.log_prob(x), rtol=1e-3, atol=0
            )
    first = {name: timed(run, device) for name, run in runs.items()}
    peaks = {name: peak_bytes(run, device) for name, run in runs.items()}
    seconds = {name: [] for name in runs}
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            seconds[name].append(timed(run, device) / counts[name])
    medians = {name: 1e3 * statistics.median(times) for name, times in seconds.items()}
    print(
        f"{arguments.size}, b = {arguments.group_size}, {next(model.parameters()).dtype}, "
        f"{arguments.threads} threads, {arguments.device}, torch {torch.__version__}"
    )
    print(f"{'':8}{'ms/example':>11}{'min':>9}{'max':>9}{'first, s':>10}{'peak MiB':>10}{'of':>5}")
    for name, times in seconds.items():
        print(
            f"{name:8}{medians[name]:11.3f}{1e3 * min(times):9.3f}{1e3 * max(times):9.3f}"
            f"{first[name]:10.2f}{peaks[name] / 2**20:10.0f}{counts[name]:5}"
        )
    for one, other in (("loop", "engine"), ("engine", "plain"), ("vmap", "engine")):
        if one in medians and other in medians:
            print(f"{one} / {other} = {medians[one] / medians[other]:.2f}")


if __name__ == "__main__":
    main()
